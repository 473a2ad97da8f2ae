import { afterAll, beforeAll } from "vitest";
import { type PolicyDatabase, startPolicyDatabase } from "./policy-database.fixture.ts";
import { describePolicyStore, type PolicyStoreSubject } from "./policy-store.contract.ts";

let database: PolicyDatabase;
let subject: PolicyStoreSubject;

beforeAll(async () => {
  database = await startPolicyDatabase();
  const announced = new Map<string, number>();
  const feed = {
    announce(topics: Iterable<string>) {
      for (const topic of topics) announced.set(topic, (announced.get(topic) ?? 0) + 1);
    },
  };
  subject = {
    store: database.createStore({ feed }),
    replica: database.createStore({ feed: { announce: () => {} } }),
    announced: (topic) => announced.get(topic) ?? 0,
    auditedAbout: async ({ sandboxId, organizationId }) =>
      (await database.audit.list({ organizationId, sandboxId, pageSize: 1000, pageToken: "" })).events
        .map(({ action, details }) => ({ action, details }))
        .reverse(),
  };
});
afterAll(() => database.stop());

describePolicyStore("PostgresPolicyStore", () => subject);
