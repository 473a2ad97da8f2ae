/** What one attempt of the confinement probe met. */
export interface ConfinementFinding {
  /** network, state-directory, supervisor, … */
  readonly name: string;
  readonly confined: boolean;
  /** What the attempt met, in plain words. */
  readonly detail: string;
}
