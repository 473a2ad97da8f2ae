export { fetchJson } from "./fetch-json.ts";
export { type ForeignJwt, type ForeignJwtFault, findSignatureFault, parseForeignJwt } from "./foreign-jwt.ts";
export { type ForeignKey, type ForeignKeySet, readForeignKeySet } from "./foreign-key-set.ts";
export { parseKeySetUrl } from "./key-set-url.ts";
export { type KeyLookup, RemoteKeys } from "./remote-keys.ts";
