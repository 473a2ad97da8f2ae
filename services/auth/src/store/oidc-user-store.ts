import type { UserSubject } from "@sandgate/api/auth";
import type { OidcRegistration } from "../domain/oidc-registration.ts";
import type { Actor, Change } from "./auth-store.ts";

/** Keeps the users of OpenID providers in the register. Every change is durable, and is in the change log and the audit log. */
export interface OidcUserStore {
  /**
   * Enters a user, or what a newer token says of them: then what was issued to them before that token is revoked. "stale": a newer
   * one said otherwise; "taken": the id is that of a user who is of no provider. Who was switched off stays so. `now` is in
   * milliseconds since the epoch.
   */
  registerOidcUser(
    registration: OidcRegistration,
    now: number,
    actor: Actor,
  ): Promise<Change<"inserted" | "changed" | "unchanged" | "stale" | "taken"> & { readonly user: UserSubject }>;
}
