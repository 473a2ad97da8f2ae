import { create } from "@bufbuild/protobuf";
import { type Process, ProcessSchema } from "@sandgate/api/sandbox";

const mostCharacters = 1_024;

/** A process with as much of its command as a list has room for. */
export function shortenCommand(process: Process): Process {
  let left = mostCharacters;
  const command: string[] = [];
  for (const word of process.command) {
    if (left <= 0) break;
    command.push(word.slice(0, left));
    left -= word.length + 1;
  }
  return create(ProcessSchema, { ...process, command });
}
