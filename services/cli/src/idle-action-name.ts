import { IdleAction } from "@sandgate/api/sandbox";

/** What becomes of a sandbox that was idle for too long, as it is typed. */
export type IdleActionName = (typeof idleActionNames)[number];

export const idleActionNames = ["stop", "delete"] as const;

/** The action that a word means. */
export function toIdleAction(name: IdleActionName | undefined): IdleAction {
  switch (name) {
    case undefined:
      return IdleAction.UNSPECIFIED;
    case "stop":
      return IdleAction.STOP;
    case "delete":
      return IdleAction.DELETE;
  }
}
