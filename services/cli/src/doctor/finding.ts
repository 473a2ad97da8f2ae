/** One thing that doctor looked at. */
export interface Finding {
  readonly name: string;
  /** fail: sandboxes cannot run. warn: they can, but something is missing or less than it could be. */
  readonly level: "ok" | "warn" | "fail";
  readonly message: string;
  /** What to do about it, unless it is ok. */
  readonly mend?: string;
}
