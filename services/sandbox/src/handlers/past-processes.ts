import type { Process } from "@sandgate/api/sandbox";
import { describePast, KeptOutput, ProcessRecords, shortenCommand } from "@sandgate/process-log";
import { ServiceError } from "@sandgate/rpc";
import type { SandboxDriver } from "../drivers/sandbox-driver.ts";

/** What the supervisors of sandboxes that are over have left of their processes. */
export class PastProcesses {
  readonly #driver: Pick<SandboxDriver, "processDirectory">;

  constructor(options: { readonly driver: Pick<SandboxDriver, "processDirectory"> }) {
    this.#driver = options.driver;
  }

  /** All, the oldest first; none where the driver cannot reach them. */
  list(sandboxId: string): readonly Process[] {
    const directory = this.#driver.processDirectory?.(sandboxId);
    if (directory === undefined) return [];
    return new ProcessRecords(directory).list().map(({ process }) => shortenCommand(describePast(directory, process)));
  }

  /** One. Throws PROCESS_NOT_FOUND. */
  get(sandboxId: string, processId: string): Process {
    const directory = this.#directoryOf(sandboxId);
    const record = new ProcessRecords(directory).find(processId);
    if (record === undefined) throw notFound();
    return describePast(directory, record.process);
  }

  /** The output of one, to be closed. */
  open(sandboxId: string, processId: string): KeptOutput {
    return KeptOutput.open(this.#directoryOf(sandboxId), processId);
  }

  #directoryOf(sandboxId: string): string {
    const directory = this.#driver.processDirectory?.(sandboxId);
    if (directory === undefined) throw notFound();
    return directory;
  }
}

function notFound(): ServiceError {
  return new ServiceError("PROCESS_NOT_FOUND", "there is no such process");
}
