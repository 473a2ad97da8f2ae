export { describePast } from "./describe-past.ts";
export { KeptOutput } from "./kept-output.ts";
export { OutputLog } from "./output-log.ts";
export type { OutputChunk, OutputReader, OutputSource } from "./output-reader.ts";
export { type ProcessRecord, ProcessRecords } from "./process-records.ts";
export { shortenCommand } from "./shorten-command.ts";
