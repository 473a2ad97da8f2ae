import { randomBytes } from "node:crypto";
import type { AuthService } from "@sandgate/api/auth";
import { PolicyService } from "@sandgate/api/policy";
import type { AuditLog } from "@sandgate/audit";
import { createDenialRecorder, type SandboxSockets, type SubjectRegister, type TrustState } from "@sandgate/identity";
import type { ConnectionSettings, Listener, Pool } from "@sandgate/postgres";
import { type Client, implement, type ServiceImplementation } from "@sandgate/rpc";
import type { KeyRing } from "@sandgate/sealing";
import type { Logger } from "@sandgate/telemetry";
import { DecisionSweep } from "./decision-sweep.ts";
import { formatProviderId, providerIdBytes } from "./domain/provider-id.ts";
import { ChangeFeed } from "./feed/change-feed.ts";
import { approvePolicyProposal } from "./handlers/approve-policy-proposal.ts";
import { createProvider } from "./handlers/create-provider.ts";
import { deleteProvider } from "./handlers/delete-provider.ts";
import { explainDecision } from "./handlers/explain-decision.ts";
import { getDraftPolicy } from "./handlers/get-draft-policy.ts";
import { getInferenceBundle } from "./handlers/get-inference-bundle.ts";
import { getPolicy } from "./handlers/get-policy.ts";
import { getPolicyProposal } from "./handlers/get-policy-proposal.ts";
import { getProvider } from "./handlers/get-provider.ts";
import { getSandboxProviderEnvironment } from "./handlers/get-sandbox-provider-environment.ts";
import { issueContainerToken } from "./handlers/issue-container-token.ts";
import { listAuditEvents } from "./handlers/list-audit-events.ts";
import { listDecisions } from "./handlers/list-decisions.ts";
import { listPolicyProposals } from "./handlers/list-policy-proposals.ts";
import { listPolicyRevisions } from "./handlers/list-policy-revisions.ts";
import { listProviders } from "./handlers/list-providers.ts";
import { permitTokenExchange } from "./handlers/permit-token-exchange.ts";
import { rejectPolicyProposal } from "./handlers/reject-policy-proposal.ts";
import { releaseProviderSecret } from "./handlers/release-provider-secret.ts";
import { reportDecisions } from "./handlers/report-decisions.ts";
import { reportPolicyStatus } from "./handlers/report-policy-status.ts";
import { setPolicy } from "./handlers/set-policy.ts";
import { simulatePolicy } from "./handlers/simulate-policy.ts";
import { submitPolicyAnalysis } from "./handlers/submit-policy-analysis.ts";
import { undoPolicyProposal } from "./handlers/undo-policy-proposal.ts";
import { updateConfig } from "./handlers/update-config.ts";
import { updatePolicyProposal } from "./handlers/update-policy-proposal.ts";
import { updateProvider } from "./handlers/update-provider.ts";
import { verifyAuditLog } from "./handlers/verify-audit-log.ts";
import { watchDecisions } from "./handlers/watch-decisions.ts";
import { watchEnforcement } from "./handlers/watch-enforcement.ts";
import { watchPolicies } from "./handlers/watch-policies.ts";
import { watchPolicy } from "./handlers/watch-policy.ts";
import { resealProviders } from "./reseal-providers.ts";
import { Retirement } from "./retirement.ts";
import { followReplicas } from "./store/notifications.ts";
import type { PolicyStore } from "./store/policy-store.ts";
import { PostgresPolicyStore } from "./store/postgres-policy-store.ts";
import { PostgresProposalStore } from "./store/postgres-proposal-store.ts";
import { PostgresProviderStore } from "./store/postgres-provider-store.ts";

/** What the Policy service is made of. */
export interface PolicyModuleDeps {
  /** Of the role and schema `policy`, whose migrations have run. */
  readonly pool: Pool;
  /** Where that database is, for the connection that notifications come on. */
  readonly connection: ConnectionSettings;
  /** In the schema `policy`. */
  readonly audit: AuditLog;
  readonly subjects: SubjectRegister;
  readonly trust: Pick<TrustState, "onChange">;
  readonly auth: Pick<Client<typeof AuthService>, "issueEgressToken" | "createExchangePermit">;
  /** The sockets of sandboxes through which their supervisors reach this service. */
  readonly sockets: SandboxSockets;
  /** Puts something around the store that everything here uses. */
  readonly aroundStore?: ((store: PolicyStore) => PolicyStore) | undefined;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** A UUID. */
  readonly newId: () => string;
  readonly decisionRetentionDays: number;
  /** What secrets are sealed with; without it there are no providers. */
  readonly sealingKeys?: KeyRing | undefined;
}

/** The Policy service, ready to be mounted. */
export interface PolicyModule {
  readonly services: readonly ServiceImplementation[];
  /** Begins to follow other replicas and the register of sandboxes. */
  start(): Promise<void>;
  /** Ends all streams with UNAVAILABLE, and what `start` began. */
  stop(): Promise<void>;
  readonly checks: Readonly<Record<string, () => void | Promise<void>>>;
}

const dayMs = 24 * 60 * 60_000;
/** The contract's second. */
const heartbeatMs = 1_000;

/** Builds the Policy service. Nothing runs before `start`. */
export function createPolicyModule(deps: PolicyModuleDeps): PolicyModule {
  const { pool, audit, subjects, clock, logger } = deps;
  const feed = new ChangeFeed();
  const replicaId = deps.newId();
  const ownStore = new PostgresPolicyStore({ pool, audit, feed, replicaId, clock });
  const providers = new PostgresProviderStore({
    ...{ pool, audit, feed, replicaId, clock },
    newProviderId: () => formatProviderId(randomBytes(providerIdBytes)),
    keys: deps.sealingKeys,
  });
  const store = deps.aroundStore?.(ownStore) ?? ownStore;
  const proposals = new PostgresProposalStore({ pool, audit, feed, replicaId, clock });
  const sockets: SandboxSockets = {
    open: (sandboxId) =>
      deps.sockets.open(sandboxId).catch((fault: unknown) => {
        // what the supervisor asks for here can wait; what the proxies enforce cannot
        logger.warn({ err: fault, sandbox_id: sandboxId }, "the socket of a sandbox could not be opened");
      }),
    close: (sandboxId) => deps.sockets.close(sandboxId),
  };
  const retirement = new Retirement({ store, subjects, trust: deps.trust, sockets, logger });
  const sweep = new DecisionSweep({ store, clock, retentionMs: deps.decisionRetentionDays * dayMs, logger });
  const denials = createDenialRecorder({ record: (record) => audit.record(record), clock });
  const recordDenial = denials.record;
  let listener: Listener | undefined;

  return {
    services: [
      implement(PolicyService, {
        setPolicy: setPolicy({ store, subjects, sockets }),
        getPolicy: getPolicy({ store }),
        issueContainerToken: issueContainerToken({ store, auth: deps.auth, clock }),
        listPolicyRevisions: listPolicyRevisions({ store }),
        watchPolicy: watchPolicy({ store, feed }),
        watchEnforcement: watchEnforcement({ store, feed, heartbeatMs }),
        watchPolicies: watchPolicies({
          store,
          providers,
          feed,
          isReconciled: () => retirement.isReconciled(),
          heartbeatMs,
        }),
        reportPolicyStatus: reportPolicyStatus({ store }),
        permitTokenExchange: permitTokenExchange({ store, auth: deps.auth, recordDenial }),
        getInferenceBundle: getInferenceBundle({ store, providers }),
        createProvider: createProvider({ providers }),
        getProvider: getProvider({ providers }),
        listProviders: listProviders({ providers }),
        updateProvider: updateProvider({ providers }),
        deleteProvider: deleteProvider({ providers }),
        getSandboxProviderEnvironment: getSandboxProviderEnvironment({ providers }),
        releaseProviderSecret: releaseProviderSecret({ providers }),
        updateConfig: updateConfig({ store, proposals, clock }),
        submitPolicyAnalysis: submitPolicyAnalysis({ store, proposals, clock }),
        getDraftPolicy: getDraftPolicy({ store, proposals, clock }),
        simulatePolicy: simulatePolicy({ store, proposals, clock }),
        getPolicyProposal: getPolicyProposal({ store, proposals, clock }),
        listPolicyProposals: listPolicyProposals({ proposals }),
        updatePolicyProposal: updatePolicyProposal({ proposals, clock }),
        approvePolicyProposal: approvePolicyProposal({ store, proposals, clock }),
        rejectPolicyProposal: rejectPolicyProposal({ proposals, clock }),
        undoPolicyProposal: undoPolicyProposal({ store, proposals, clock }),
        reportDecisions: reportDecisions({ store, clock }),
        listDecisions: listDecisions({ store }),
        explainDecision: explainDecision({ store, clock }),
        watchDecisions: watchDecisions({ store, feed }),
        listAuditEvents: listAuditEvents({ audit }),
        verifyAuditLog: verifyAuditLog({ audit }),
      }),
    ],
    async start() {
      await resealProviders({ providers, isConfigured: deps.sealingKeys !== undefined, logger });
      listener = await followReplicas({ connection: deps.connection, feed, replicaId, logger });
      retirement.start();
      sweep.start();
    },
    async stop() {
      feed.stop();
      await Promise.all([retirement.stop(), sweep.stop()]);
      await listener?.close();
      await denials.stop();
    },
    checks: {
      database: () => pool.check(),
      sandboxes_reconciled: () => {
        if (!retirement.isReconciled()) throw new Error("the register of sandboxes has not been gone through yet");
      },
    },
  };
}
