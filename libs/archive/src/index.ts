export { type ArchiveSummary, type ArchiveTools, createArchiveTools } from "./archive-tools.ts";
