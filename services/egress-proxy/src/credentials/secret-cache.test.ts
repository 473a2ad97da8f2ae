import { providerKind } from "@sandgate/policy";
import { ServiceError } from "@sandgate/rpc";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { BoundProvider } from "./provider-table.ts";
import { SecretCache } from "./secret-cache.ts";

const provider: BoundProvider = {
  providerId: "prv-a",
  name: "models",
  version: 1n,
  kind: providerKind.bearer,
  header: "",
  username: "",
  endpoints: [],
  placeholderDigest: "",
};

let asked: number;
let refuses: boolean;
let cache: SecretCache;
beforeEach(() => {
  vi.useFakeTimers();
  [asked, refuses] = [0, false];
  cache = new SecretCache({
    holdMs: 60_000,
    client: {
      releaseProviderSecret: async ({ version = 0n }) => {
        asked += 1;
        if (refuses) throw new ServiceError("UNAVAILABLE", "the service is down");
        return { $typeName: "sandgate.policy.v1.ReleaseProviderSecretResponse", secret: `secret ${version}` };
      },
    },
  });
});
afterEach(() => vi.useRealTimers());

const get = async (more: Partial<BoundProvider> = {}, sandboxId = "sbx-a") =>
  (await cache.get(sandboxId, { ...provider, ...more }, "placeholder")).reveal();

describe("SecretCache", () => {
  it("asks once for requests at the same time and within the hold, then anew", async () => {
    expect(await Promise.all([get(), get()])).toEqual(["secret 1", "secret 1"]);
    await vi.advanceTimersByTimeAsync(59_999);
    await get();
    expect(asked).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await get();
    expect(asked).toBe(2);
  });

  it("holds each sandbox's and each version's apart", async () => {
    await get();
    await get({}, "sbx-b");
    expect(await get({ version: 2n })).toBe("secret 2");
    expect(asked).toBe(3);
  });

  it("forgets what is not granted any more, and nothing else", async () => {
    await get();
    cache.retain("sbx-a", [provider]);
    cache.retain("sbx-b", []);
    await get();
    expect(asked).toBe(1);
    for (const forget of [
      () => cache.retain("sbx-a", [{ ...provider, version: 2n }]),
      () => cache.forget("sbx-a"),
      () => cache.forgetAll(),
    ]) {
      const before = asked;
      forget();
      await get();
      expect(asked).toBe(before + 1);
    }
  });

  it("asks at most once a second while it is refused", async () => {
    refuses = true;
    for (let round = 0; round < 5; round++) await expect(get()).rejects.toThrow("the service is down");
    expect(asked).toBe(1);
    refuses = false;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await get()).toBe("secret 1");
  });
});
