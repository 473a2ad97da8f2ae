import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { PolicySchema } from "@sandgate/api/policy";
import type { CreateSandboxRequest } from "@sandgate/api/sandbox";
import { findLabelFaults, type Labels, sortLabels } from "../domain/labels.ts";
import { parseSpec } from "../domain/parse-spec.ts";
import type { FieldFault } from "../domain/request-faults.ts";
import { findRequestIdFault } from "../domain/request-id.ts";
import { findNameFault } from "../domain/sandbox-name.ts";
import type { SandboxSpec } from "../domain/sandbox-record.ts";
import type { SandboxDriver } from "../drivers/sandbox-driver.ts";
import { requireLintedPolicy } from "./require-linted-policy.ts";
import { requireNoFaults } from "./require-no-faults.ts";

/** A CreateSandbox request that has been checked. */
export interface CreateRequest {
  readonly requestId: string;
  /** Empty: the service makes one. */
  readonly name: string;
  readonly labels: Labels;
  readonly spec: SandboxSpec;
  /** A sandgate.policy.v1.Policy in canonical form, encoded. */
  readonly policy: Uint8Array;
  /** SHA-256 of everything that was asked for. */
  readonly contentHash: Uint8Array;
}

/** Checks a CreateSandbox request. Throws REQUEST_INVALID with every fault, or POLICY_INVALID. */
export function readCreateRequest(
  request: CreateSandboxRequest,
  driver: Pick<SandboxDriver, "findImageFault">,
): CreateRequest {
  const { spec, faults } = parseSpec(request.spec);
  requireNoFaults(
    [
      findRequestIdFault(request.requestId),
      request.name === "" ? undefined : findNameFault(request.name),
      ...faults,
      ...findLabelFaults(request.labels),
      findImageFault(spec, driver),
    ].filter((fault) => fault !== undefined),
  );
  const policy = toBinary(PolicySchema, requireLintedPolicy(request.policy));
  return {
    requestId: request.requestId.toLowerCase(),
    name: request.name,
    labels: { ...request.labels },
    spec,
    policy,
    contentHash: hashContent(request, spec, policy),
  };
}

function findImageFault({ image }: SandboxSpec, driver: Pick<SandboxDriver, "findImageFault">): FieldFault | undefined {
  if (image === undefined) return undefined;
  const fault =
    driver.findImageFault === undefined ? "must be empty: this driver has no images" : driver.findImageFault(image);
  return fault === undefined ? undefined : { field: "spec.image", fault };
}

function hashContent(
  { name, labels }: Pick<CreateSandboxRequest, "name" | "labels">,
  spec: SandboxSpec,
  policy: Uint8Array,
): Uint8Array {
  // the order in which a client happens to send a map is not part of what it asks for
  const environment = Object.entries(spec.environment).sort(([a], [b]) => (a < b ? -1 : 1));
  const marks = sortLabels(labels);
  return createHash("sha256")
    .update(
      JSON.stringify([
        ...[name, spec.command, environment, Object.values(spec.limits), spec.ttlMs ?? 0],
        // absent where there are none, as before there were labels: a request that is repeated across the upgrade is the same
        ...(marks.length > 0 ? [{ labels: marks }] : []),
        ...(spec.idleTimeoutMs === undefined ? [] : [{ idle: [spec.idleTimeoutMs, spec.idleAction] }]),
        ...(spec.image === undefined ? [] : [{ image: spec.image }]),
      ]),
    )
    .update(policy)
    .digest();
}
