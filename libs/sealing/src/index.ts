export { createKeyRing, type KeyRing } from "./key-ring.ts";
export { openSealed, seal } from "./seal.ts";
export { SealingError } from "./sealing-error.ts";
export { makeSealingKeyFile, readSealingKeys } from "./sealing-key-file.ts";
