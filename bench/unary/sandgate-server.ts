/** Ours: GetPrincipal behind the listeners that every program has; the register of subjects and the trust state are in memory. */
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { AuthService, WatchTrustResponseSchema } from "@sandgate/api/auth";
import { createServiceListeners, type SubjectRegister, TrustState } from "@sandgate/identity";
import { type Handlers, implement, ServiceError } from "@sandgate/rpc";
import { createMetrics } from "@sandgate/telemetry";
import { getPrincipal } from "../../services/auth/src/handlers/get-principal.ts";
import { serveMeasurements } from "../server-process.ts";
import { subjectOf } from "./answer.ts";
import { type ServerIdentity, trustDomain } from "./bench-identity.ts";

const { tls, jwksJson, sandboxes } = JSON.parse(process.argv[2] ?? "") as ServerIdentity; // written by unary.ts
const subjects = new Map(sandboxes.map((sandbox) => [sandbox.sandboxId, subjectOf(sandbox)]));
const register: SubjectRegister = {
  findSandbox: async (sandboxId) => subjects.get(sandboxId),
  findSandboxByName: async () => undefined,
  findUser: async () => undefined,
};
const trust = new TrustState({ clock: Date.now });
trust.apply(
  create(WatchTrustResponseSchema, {
    sequence: 1n,
    change: { case: "snapshot", value: { signingKeys: { jwksJson }, revocations: [] } },
  }),
);
setInterval(
  () => trust.apply(create(WatchTrustResponseSchema, { sequence: 1n, change: { case: "heartbeat", value: {} } })),
  1000,
);

const unused = () => {
  throw new ServiceError("UNAVAILABLE", "not part of the benchmark");
};
const handlers = {
  ...Object.fromEntries(AuthService.methods.map((method) => [method.localName, unused])),
  getPrincipal: getPrincipal({ store: register }),
} as unknown as Handlers<typeof AuthService>; // the calls of the benchmark reach GetPrincipal alone

const listeners = createServiceListeners({
  services: [implement(AuthService, handlers)],
  trust,
  register,
  trustDomain,
  tls,
  edgeAddresses: [],
  mtlsAddresses: ["127.0.0.1:0"],
  recordDenial: async () => {},
  metrics: createMetrics(),
  clock: Date.now,
  newId: randomUUID,
  isServing: () => true,
  onFault: (fault) => console.error(fault),
});
const { mtls } = await listeners.start();
serveMeasurements(Number(/:(\d+)$/.exec(mtls[0] ?? "")?.[1]));
