import { type GetPolicyResponse, GetPolicyResponseSchema } from "@sandgate/api/policy";
import { formatAuthoredPolicy } from "@sandgate/policy";
import { stringify } from "yaml";
import { messageJson } from "./message-json.ts";

/** A policy as a person writes it, YAML, with its revision and what is enforced in comments above. */
export function formatPolicyFile(response: Pick<GetPolicyResponse, "revision" | "enforcement">): string {
  const { revision, enforcement } = response;
  const enforced = enforcement?.revision ?? 0n;
  const state =
    revision === undefined || enforced === revision.revision
      ? "enforced"
      : enforced === 0n
        ? "not enforced yet"
        : `not enforced yet; revision ${enforced} is`;
  const fault =
    enforcement === undefined || enforcement.fault === "" ? [] : [`# fault: ${JSON.stringify(enforcement.fault)}`];
  return [
    `# revision ${revision?.revision ?? 0n} of ${revision?.sandboxId ?? ""}, ${state}`,
    ...fault,
    stringify(formatAuthoredPolicy(revision?.policy ?? { rules: [] })).trimEnd(),
  ].join("\n");
}

/** The answer in JSON, with the policy also as a person writes it. */
export function policyDocument(response: GetPolicyResponse): unknown {
  const json = messageJson(GetPolicyResponseSchema, response);
  return {
    ...(typeof json === "object" && json !== null && !Array.isArray(json) ? json : {}),
    authored: formatAuthoredPolicy(response.revision?.policy ?? { rules: [] }),
  };
}
