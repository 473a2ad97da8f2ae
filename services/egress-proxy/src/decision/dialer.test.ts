import { createServer, Socket } from "node:net";
import { type Authority, parseAddressRange, parseWireAuthority } from "@sandgate/policy";
import { describe, expect, it } from "vitest";
import { Dialer } from "./dialer.ts";
import { Refusal } from "./refusal.ts";

const authority = (text: string): Authority => {
  const parsed = parseWireAuthority(text);
  if (parsed === undefined) throw new TypeError(text);
  return parsed;
};
const ranges = ["10.0.0.0/8"].flatMap((text) => parseAddressRange(text) ?? []);

/** Connects with these addresses behind every name, and tells the reason of a refusal. */
async function connect(
  target: string,
  addresses: readonly string[],
  options: { origins?: ConstructorParameters<typeof Dialer>[0]["developmentOrigins"]; own?: readonly string[] } = {},
): Promise<{ dials: string[]; outcome: string }> {
  const dials: string[] = [];
  const dialer = new Dialer({
    resolver: { resolve: async () => addresses, stop: () => undefined },
    timeoutMs: 300,
    developmentOrigins: options.origins ?? [],
    isOwnEndpoint: (address, port) => options.own?.includes(`${address}:${port}`) === true,
    dial: (address, port) => {
      dials.push(`${address}:${port}`);
      const socket = new Socket();
      if (address.endsWith(".99")) return socket;
      queueMicrotask(() => (address.endsWith(".98") ? socket.destroy(new Error("refused")) : socket.emit("connect")));
      return socket;
    },
  });
  try {
    const { address, vetted } = await dialer.connect(
      authority(target),
      { name: "rule", allowedRanges: ranges },
      new AbortController().signal,
    );
    return { dials, outcome: `${address} ${vetted ? "vetted" : "placed"}` };
  } catch (error) {
    if (error instanceof Refusal) return { dials, outcome: `${error.status} ${error.reason}` };
    throw error;
  }
}

describe("dialling", () => {
  it.each([
    ["the first address that passes", ["127.0.0.1", "93.184.216.34", "93.184.216.35"], "93.184.216.34 vetted", 1],
    ["the next one where one refuses", ["93.184.216.98", "93.184.216.34"], "93.184.216.34 vetted", 2],
    ["the next one where one is silent", ["93.184.216.99", "10.0.0.1"], "10.0.0.1 vetted", 2],
    ["none that does not pass", ["127.0.0.1", "::1", "169.254.169.254", "192.168.0.1"], "403 ip_not_allowed", 0],
    ["none that is no address", ["0x7f000001", "", "localhost"], "403 ip_not_allowed", 0],
    ["none twice where all refuse", ["93.184.216.98"], "502 upstream_failed", 1],
    ["none for ever where all are silent", ["93.184.216.99"], "504 upstream_timeout", 1],
  ])("takes %s", async (_what, addresses, outcome, count) => {
    const result = await connect("api.example.test:443", addresses);
    expect(result.outcome).toBe(outcome);
    expect(result.dials).toHaveLength(count);
  });

  it("B43: the proxy's own control plane is a loop, wherever it is reached", async () => {
    const own = ["10.0.0.5:9901"];
    expect((await connect("api.example.test:9901", ["10.0.0.5"], { own })).outcome).toBe("403 loop_detected");
    expect((await connect("10.0.0.5:9901", [], { own })).outcome).toBe("403 loop_detected");
    expect((await connect("api.example.test:443", ["10.0.0.5"], { own })).outcome).toBe("10.0.0.5 vetted");
  });

  it("dials a development origin where it was placed, and only that host and port", async () => {
    const origins = [{ host: "api.example.test", port: 443, address: "127.0.0.1", targetPort: 8443 }];
    expect(await connect("api.example.test:443", [], { origins })).toEqual({
      dials: ["127.0.0.1:8443"],
      outcome: "127.0.0.1 placed",
    });
    expect((await connect("api.example.test:80", ["127.0.0.1"], { origins })).outcome).toBe("403 ip_not_allowed");
    expect((await connect("other.example.test:443", ["127.0.0.1"], { origins })).outcome).toBe("403 ip_not_allowed");
  });

  it("connects to a real address by TCP", async () => {
    const server = createServer((socket) => socket.end("hello"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new TypeError("no port");
    const dialer = new Dialer({
      resolver: { resolve: async () => [], stop: () => undefined },
      timeoutMs: 5000,
      developmentOrigins: [{ host: "api.example.test", port: 443, address: "127.0.0.1", targetPort: address.port }],
      isOwnEndpoint: () => false,
    });
    const { socket } = await dialer.connect(
      authority("api.example.test:443"),
      { name: "rule", allowedRanges: [] },
      new AbortController().signal,
    );
    expect(await new Promise((resolve) => socket.once("data", (bytes) => resolve(bytes.toString())))).toBe("hello");
    socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
});
