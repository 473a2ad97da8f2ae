/** The values of sandgate.policy.v1.Action. */
export const ruleAction = { allow: 1, deny: 2 } as const;

/** The values of sandgate.policy.v1.Protocol; 0: TLS and HTTP. */
export const ruleProtocol = { any: 0, http: 1, https: 2, tcp: 3 } as const;

/** The values of sandgate.policy.v1.Mode that a policy in canonical form has. */
export const policyMode = { enforce: 0, observe: 2 } as const;

/** A rule as the proto message has it. A generated message can be passed where one is asked for. */
export interface RuleMessage {
  name: string;
  action: number;
  hosts: string[];
  ports: number[];
  allowedIps: string[];
  /** Absent: it stays. */
  expireTime?: { readonly seconds: bigint; readonly nanos: number } | undefined;
  /** Absent or empty: every method. */
  methods?: string[];
  /** Absent or empty: every path. */
  paths?: string[];
  /** Absent or 0: TLS and HTTP. */
  protocol?: number;
}

/** To whom a workload may prove who it is, as the proto message has it. */
export interface IdentityMessage {
  audiences: string[];
}

/** An upstream of models as the proto message has it. */
export interface RouteMessage {
  name: string;
  host: string;
  /** 0: 443. */
  port: number;
  path: string;
  models: string[];
  credential: string;
}

/** A policy as the proto message has it. */
export interface PolicyMessage {
  rules: RuleMessage[];
  identity?: IdentityMessage | undefined;
  inference?: { routes: RouteMessage[] } | undefined;
  /** Names of providers; absent: none. */
  providers?: string[];
  /** Absent: enforce. */
  mode?: number;
}

/** A policy that is only read: a generated message, or a PolicyMessage. */
export interface ReadonlyPolicy {
  readonly rules: readonly Listed<RuleMessage>[];
  readonly identity?: Listed<IdentityMessage> | undefined;
  readonly inference?: { readonly routes: readonly Listed<RouteMessage>[] } | undefined;
  readonly providers?: readonly string[] | undefined;
  readonly mode?: number | undefined;
}

/** A rule that is only read. */
export type ReadonlyRule = Listed<RuleMessage>;

type Listed<T> = { readonly [K in keyof T]: Readonly<T[K]> };

/** What is wrong with a policy, and where. */
export interface PolicyFault {
  /** The rule's name, or `rules[3]` where it has none; empty when the fault is the policy's. */
  readonly rule: string;
  /** In snake_case, with an index where the field is a list: `hosts[2]`, `inference.routes[0].host`. */
  readonly field: string;
  readonly message: string;
}

/** A policy in its canonical form, or everything that is wrong with it. */
export type PolicyCheck =
  | { readonly ok: true; readonly policy: PolicyMessage }
  | { readonly ok: false; readonly faults: readonly PolicyFault[] };

/** At most so many rules in a policy. */
export const maximumRules = 500;
/** At most so many hosts, ports or ranges in a rule. */
export const maximumEntries = 1000;
