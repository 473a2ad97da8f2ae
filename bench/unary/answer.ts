import { create, toBinary } from "@bufbuild/protobuf";
import { type GetPrincipalResponse, GetPrincipalResponseSchema, SandboxSubjectSchema } from "@sandgate/api/auth";
import { PrincipalKind } from "@sandgate/api/options";
import { organizationId, type ServerIdentity, trustDomain } from "./bench-identity.ts";

/** The register's entry of a sandbox. */
export function subjectOf({ sandboxId, keyThumbprint }: ServerIdentity["sandboxes"][number]) {
  return create(SandboxSubjectSchema, {
    sandboxId,
    name: "bench",
    organizationId,
    incarnation: 1n,
    alive: true,
    trusted: true,
    keyThumbprint,
  });
}

/** What GetPrincipal answers to a sandbox. */
export function answerTo(sandbox: ServerIdentity["sandboxes"][number]): GetPrincipalResponse {
  return create(GetPrincipalResponseSchema, {
    kind: PrincipalKind.SANDBOX,
    spiffeId: `spiffe://${trustDomain}/sandbox/${sandbox.sandboxId}`,
    authenticator: "sandbox-token",
    subject: { case: "sandbox", value: subjectOf(sandbox) },
  });
}

/** The same for rivals, which know nobody: as many bytes, and always for the first sandbox. */
export function encodeAnswer({ sandboxes }: ServerIdentity): Buffer {
  const [first] = sandboxes;
  if (first === undefined) throw new RangeError("there is no sandbox");
  return Buffer.from(toBinary(GetPrincipalResponseSchema, answerTo(first)));
}
