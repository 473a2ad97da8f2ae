/** What a container token may be asked to say, besides whose it is. */
export interface ContainerTokenRequest {
  /** Empty: the egress proxy. */
  readonly audience: string;
  /** Undefined: the default. */
  readonly lifeMs: number | undefined;
  /** Undefined: enforced. */
  readonly enforceContainerBinding: boolean | undefined;
  readonly useEgressGateway: boolean | undefined;
  readonly enforceCentralizedEgress: boolean | undefined;
  readonly isHipaaRegulated: boolean;
  readonly isPciCompliant: boolean;
  readonly confirmation:
    | { readonly kind: "key"; readonly thumbprint: string }
    | { readonly kind: "certificate"; readonly sha256: string }
    | undefined;
}

/** What is allowed to be asked for. */
export interface ContainerTokenRules {
  /** The relying parties besides the egress proxy. */
  readonly audiences: readonly string[];
  readonly defaultLifeMs: number;
  /** Whether a flag that enforces may be off; never in production (S0-06). */
  readonly mayBeUnenforced: boolean;
}

/** What a container token will say, besides whose it is. */
export interface ContainerTokenPlan {
  readonly audience: string;
  readonly lifeMs: number;
  readonly enforceContainerBinding: boolean;
  readonly useEgressGateway: boolean;
  readonly enforceCentralizedEgress: boolean;
  readonly isHipaaRegulated: boolean;
  readonly isPciCompliant: boolean;
  readonly confirmation: ContainerTokenRequest["confirmation"];
}

/** The field of `ContainerTokenOptions` that is at fault, and why. */
export interface ContainerTokenFault {
  readonly field: string;
  readonly message: string;
}

/** The relying party of S1-03. */
const EGRESS_AUDIENCE = "egress-proxy";

/** The request of a supervisor, which asks for nothing but its own. */
export const ownTokenRequest: ContainerTokenRequest = {
  audience: "",
  lifeMs: undefined,
  enforceContainerBinding: undefined,
  useEgressGateway: undefined,
  enforceCentralizedEgress: undefined,
  isHipaaRegulated: false,
  isPciCompliant: false,
  confirmation: undefined,
};

const MINUTE_MS = 60_000;
const MAX_LIFE_MS = 4 * 60 * MINUTE_MS;

/** What the token will say, or the first fault of the request (S0-04, S0-05, S0-06, D-02). */
export function planContainerToken(
  request: ContainerTokenRequest,
  rules: ContainerTokenRules,
): { readonly plan: ContainerTokenPlan } | { readonly fault: ContainerTokenFault } {
  const audience = request.audience === "" ? EGRESS_AUDIENCE : request.audience;
  if (audience !== EGRESS_AUDIENCE && !rules.audiences.includes(audience))
    return fault("options.audience", "the configuration does not name this audience");
  const lifeMs = request.lifeMs ?? rules.defaultLifeMs;
  if (!(lifeMs >= MINUTE_MS && lifeMs <= MAX_LIFE_MS && lifeMs % 1000 === 0))
    return fault("options.life", "a life is 1 minute to 4 hours in whole seconds");
  const enforcing = {
    enforceContainerBinding: request.enforceContainerBinding ?? true,
    useEgressGateway: request.useEgressGateway ?? true,
    enforceCentralizedEgress: request.enforceCentralizedEgress ?? true,
  };
  if (!rules.mayBeUnenforced && Object.values(enforcing).includes(false))
    return fault("options", "only a configuration for development lets a token enforce less");
  const { confirmation, isHipaaRegulated, isPciCompliant } = request;
  if (confirmation !== undefined && !/^[A-Za-z0-9_-]{43}$/.test(hashOf(confirmation)))
    return fault("options.confirmation", "a confirmation is a SHA-256 in base64url without padding");
  if (confirmation !== undefined && audience === EGRESS_AUDIENCE)
    return fault("options.confirmation", "the egress proxy knows a sandbox by its channel and sees no certificate");
  return { plan: { audience, lifeMs, ...enforcing, isHipaaRegulated, isPciCompliant, confirmation } };
}

function hashOf(confirmation: NonNullable<ContainerTokenRequest["confirmation"]>): string {
  return confirmation.kind === "key" ? confirmation.thumbprint : confirmation.sha256;
}

function fault(field: string, message: string): { readonly fault: ContainerTokenFault } {
  return { fault: { field, message } };
}
