import { type CertificateFacts, formatSpiffeId, parseSpiffeId, readCertificate } from "@sandgate/pki";
import { type Call, type Connection, ServiceError, type Step } from "@sandgate/rpc";
import { operatorCertificateKey, type Peer, peerKey } from "../peer.ts";
import { requireCurrent } from "../trust/require-current.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";
import { isTrusted, type TrustState } from "../trust/trust-state.ts";
import { type CertificateAuthorities, issuerKind } from "./certificate-authorities.ts";
import { requireAllowedPeer } from "./require-allowed-peer.ts";
import { requireGateway } from "./require-gateway.ts";

/** What a connection's certificate says, worked out once for each connection. */
interface ConnectionFacts {
  readonly kind: "service" | "sandbox" | "user";
  readonly name: string;
  readonly spiffeId: string;
  readonly certificate: CertificateFacts;
  readonly der: Uint8Array;
  /** When its authority was retired; undefined while it is trusted. */
  retiredAtMs?: number;
  /** The calls of it that go on. */
  readonly streams: Set<Call>;
}

/** So long a connection that was told to end may bring unary calls that were under way to it. */
const retirementGraceMs = 5_000;

/**
 * Finds out which process opened the connection. It stands first, because nobody's credential means anything before it is
 * known who carries it. On every call, whatever the connection was when it was opened: the certificate has not expired and
 * is not revoked, its authority is not retired, and a sandbox's key is the one that its living incarnation enrolled with.
 */
export function peerStep(deps: {
  readonly trust: TrustState;
  readonly register: SubjectRegister;
  readonly trustDomain: string;
  /** Undefined on listeners that ask for no certificate. */
  readonly authorities: CertificateAuthorities | undefined;
  readonly clock: () => number;
}): Step {
  const known = new Map<Connection, ConnectionFacts>();
  const { authorities } = deps;
  authorities?.onChange?.(() => {
    for (const [connection, facts] of known) {
      if (issuerKind(facts.der, authorities) === facts.kind) continue;
      facts.retiredAtMs ??= deps.clock();
      connection.drain(); // the next one shows a certificate of the authority that followed, or is refused
      for (const call of facts.streams) call.end(retired());
    }
  });

  const factsOf = (connection: Connection, der: Uint8Array): ConnectionFacts => {
    const kept = known.get(connection);
    if (kept !== undefined) return kept;
    const certificate = readCertificate(der);
    const id = certificate.spiffeId === undefined ? undefined : parseSpiffeId(certificate.spiffeId);
    const kind = authorities === undefined ? undefined : issuerKind(der, authorities);
    // A certificate is worth what its issuer may vouch for: the sandbox CA cannot make a service.
    if (id === undefined || kind === undefined || id.kind !== kind || id.trustDomain !== deps.trustDomain)
      throw new ServiceError("CREDENTIAL_REJECTED", "the certificate is not one of this trust domain");
    const facts: ConnectionFacts = {
      kind,
      name: id.name,
      spiffeId: formatSpiffeId(id),
      certificate,
      der,
      streams: new Set(),
    };
    known.set(connection, facts);
    const lifeMs = certificate.notAfter - deps.clock();
    const timer = setTimeout(() => connection.drain(), Math.min(Math.max(lifeMs, 0), 2 ** 31 - 1)).unref();
    connection.onClose(() => {
      clearTimeout(timer);
      known.delete(connection);
    });
    return facts;
  };

  const sandboxPeer = async (facts: ConnectionFacts): Promise<Peer> => {
    requireCurrent(deps.trust);
    const subject = await deps.register.findSandbox(facts.name);
    if (
      subject === undefined ||
      !isTrusted(subject) ||
      deps.trust.isIncarnationRevoked(subject.sandboxId, subject.incarnation)
    )
      throw new ServiceError("CREDENTIAL_REVOKED", "the certificate's sandbox is not trusted any more");
    if (subject.keyThumbprint !== facts.certificate.keyThumbprint)
      throw new ServiceError("CREDENTIAL_REVOKED", "the certificate is of another incarnation");
    return {
      kind: "sandbox",
      sandboxId: subject.sandboxId,
      incarnation: subject.incarnation,
      spiffeId: facts.spiffeId,
      keyThumbprint: facts.certificate.keyThumbprint,
    };
  };

  return async (call) => {
    const peer = await identify(call);
    call.set(peerKey, peer);
    requireAllowedPeer(call, peer);
  };

  async function identify(call: Call): Promise<Peer> {
    const { connection } = call;
    if (connection.transport === "in-process") return inProcessPeer(connection);
    if (connection.relay !== undefined) return relayedPeer(connection.relay);
    if (connection.certificate === undefined) return { kind: "none" };
    const facts = trustedFacts(connection, connection.certificate);
    if (call.method.methodKind !== "unary") {
      facts.streams.add(call);
      call.onDone(() => facts.streams.delete(call));
    }
    switch (facts.kind) {
      case "service":
        return { kind: "service", service: facts.name, spiffeId: facts.spiffeId };
      case "sandbox":
        return sandboxPeer(facts);
      case "user":
        call.set(operatorCertificateKey, { userId: facts.name, sha256: facts.certificate.sha256 });
        return { kind: "none" };
    }
  }

  function trustedFacts(connection: Connection, der: Uint8Array): ConnectionFacts {
    const facts = factsOf(connection, der);
    if (facts.certificate.notAfter <= deps.clock())
      throw new ServiceError("CREDENTIAL_EXPIRED", "the certificate of this connection has expired");
    if (facts.retiredAtMs !== undefined && deps.clock() - facts.retiredAtMs > retirementGraceMs) throw retired();
    if (deps.trust.isCertificateRevoked(facts.certificate.sha256))
      throw new ServiceError("CREDENTIAL_REVOKED", "the certificate of this connection is revoked");
    return facts;
  }

  /** Whom the web gateway relays for: nobody, until a credential says more. The gateway's own name counts for nothing else. */
  function relayedPeer(relay: Connection): Peer {
    requireGateway(relay.certificate && trustedFacts(relay, relay.certificate));
    return { kind: "none" };
  }
}

function retired(): ServiceError {
  return new ServiceError("CREDENTIAL_REJECTED", "the authority of this connection's certificate is retired");
}

function inProcessPeer(connection: Connection): Peer {
  const id = connection.inProcessPeer === undefined ? undefined : parseSpiffeId(connection.inProcessPeer);
  if (id?.kind !== "service") throw new TypeError("an in-process channel without a service behind it");
  return { kind: "service", service: id.name, spiffeId: formatSpiffeId(id) };
}
