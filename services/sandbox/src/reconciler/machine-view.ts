import type { DriverSandbox, SandboxDriver } from "../drivers/sandbox-driver.ts";

interface Sighting {
  readonly incarnation: bigint | undefined;
  readonly running: boolean;
  /** The look or event that it comes from; later ones have higher numbers. */
  readonly order: number;
}

/** What the driver's machine was last seen to run. It is refreshed by looking, and by what this process does and is told in between. */
export class MachineView {
  readonly #driver: Pick<SandboxDriver, "list">;
  readonly #sightings = new Map<string, Sighting>();
  /** Sandboxes whose directories this process made and which it alone can have started. */
  readonly #own = new Set<string>();
  #order = 0;
  #looking: Promise<readonly DriverSandbox[]> | undefined;

  constructor(options: { readonly driver: Pick<SandboxDriver, "list"> }) {
    this.#driver = options.driver;
  }

  /** Looks at the machine. Answers what was found. Looks that are asked for at the same time after one began are one. */
  async refresh(): Promise<readonly DriverSandbox[]> {
    // a look that runs already may have passed what the caller wants to know
    await this.#looking?.catch(() => {});
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Whether that incarnation runs. */
  isRunning(sandboxId: string, incarnation: bigint): boolean {
    const seen = this.#sightings.get(sandboxId);
    return seen?.running === true && seen.incarnation === incarnation;
  }

  /** Whether anything of the sandbox runs. */
  isAnyRunning(sandboxId: string): boolean {
    return this.#sightings.get(sandboxId)?.running === true;
  }

  /** Whether that incarnation runs, with a look at the machine unless only this process can have started it. */
  async look(sandboxId: string, incarnation: bigint): Promise<boolean> {
    if (this.isRunning(sandboxId, incarnation)) return true;
    if (this.#own.has(sandboxId)) return false;
    await this.refresh();
    return this.isRunning(sandboxId, incarnation);
  }

  notePrepared(sandboxId: string): void {
    this.#own.add(sandboxId);
  }

  /** Somebody else may have to go on with it. */
  noteInterrupted(sandboxId: string): void {
    this.#own.delete(sandboxId);
  }

  noteStarted(sandboxId: string, incarnation: bigint): void {
    this.#note(sandboxId, incarnation, true);
  }

  noteEnded(sandboxId: string): void {
    this.#note(sandboxId, this.#sightings.get(sandboxId)?.incarnation, false);
  }

  #note(sandboxId: string, incarnation: bigint | undefined, running: boolean): void {
    this.#order += 1;
    this.#own.delete(sandboxId);
    this.#sightings.set(sandboxId, { incarnation, running, order: this.#order });
  }

  async #look(): Promise<readonly DriverSandbox[]> {
    this.#order += 1;
    const order = this.#order;
    const found = await this.#driver.list();
    const present = new Set(found.map(({ sandboxId }) => sandboxId));
    for (const [sandboxId, seen] of this.#sightings)
      if (seen.order < order && !present.has(sandboxId)) this.#sightings.delete(sandboxId);
    // what happened while the look was under way is newer than what it saw
    for (const { sandboxId, incarnation, running } of found)
      if ((this.#sightings.get(sandboxId)?.order ?? 0) < order)
        this.#sightings.set(sandboxId, { incarnation, running, order });
    return found;
  }
}
