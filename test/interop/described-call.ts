import { create, type DescMethod, type JsonValue, toJson } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { describeReason, type Reason } from "@sandgate/rpc";
import type { Attacker, Way } from "../integration/attack-matrix/attacker.ts";

/** A call of the attack matrix, told to a client of another make. */
export interface DescribedCall extends Way {
  readonly headers: Readonly<Record<string, string>>;
  /** package.Service/Method */
  readonly method: string;
  /** In the JSON of protobuf. */
  readonly requests: readonly JsonValue[];
}

/** What another client says became of a call. */
export interface CallAnswer {
  /** By the name that gRPC has for it. */
  readonly code: string;
  /** Of the ErrorInfo in an error; absent or empty where there is none. */
  readonly reason?: string | undefined;
}

/** Tells an attacker's call. Refuses those who come by the web front. */
export function describeCall(
  attacker: Attacker,
  method: DescMethod,
  requests: readonly Readonly<Record<string, unknown>>[],
): DescribedCall {
  const way = attacker.wayTo?.(method.parent.typeName);
  if (way === undefined) throw new Error(`${attacker.name} calls no gRPC listener`);
  return {
    ...way,
    headers: attacker.headers,
    method: `${method.parent.typeName}/${method.name}`,
    requests: requests.map((request) => toJson(method.input, create(method.input, request))),
  };
}

/** What the matrix calls such an answer: "OK" or the reason, whose status code must be the declared one. */
export function outcomeOf({ code, reason = "" }: CallAnswer): string {
  if (reason === "") return plainOutcomes[code] ?? `${code} without a reason`;
  const declared = status[describeReason(reason as Reason).code]; // from the wire: an unknown one is refused there
  return code === declared ? reason : `${reason} with the status ${code}`;
}

/** Answers that carry no reason: nobody of ours was reached. */
const plainOutcomes: Readonly<Record<string, string>> = {
  OK: "OK",
  UNAVAILABLE: "UNAVAILABLE",
  UNIMPLEMENTED: "METHOD_NOT_FOUND",
};
