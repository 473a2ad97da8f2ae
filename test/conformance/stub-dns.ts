import { createSocket, type Socket } from "node:dgram";
import { parseAddress } from "@sandgate/policy";

/** What the stub answers for a name: addresses, or a failure. */
export type DnsAnswer =
  | { readonly addresses: readonly string[]; readonly ttl?: number }
  | "nxdomain"
  | "servfail"
  | "silence";

/** A DNS server on loopback that answers from a table and remembers what it was asked. */
export class StubDns {
  readonly queries: string[] = [];
  readonly #socket: Socket = createSocket("udp4");
  readonly #answers = new Map<string, DnsAnswer[]>();

  async start(): Promise<string> {
    this.#socket.on("message", (message, from) => {
      const reply = this.#reply(message);
      if (reply !== undefined) this.#socket.send(reply, from.port, from.address);
    });
    await new Promise<void>((resolve) => this.#socket.bind(0, "127.0.0.1", resolve));
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  /** Sets the answers for a name: one for each lookup, the last one for all that follow. */
  set(name: string, ...answers: readonly DnsAnswer[]): void {
    this.#answers.set(name, [...answers]);
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  /** One lookup is two questions, A then AAAA: the second one uses the answer up. */
  #reply(message: Buffer): Buffer | undefined {
    const { name, type, end } = readQuestion(message);
    this.queries.push(`${type === 1 ? "A" : type === 28 ? "AAAA" : type} ${name}`);
    const answers = this.#answers.get(name) ?? ["nxdomain"];
    const answer = (type === 28 && answers.length > 1 ? answers.shift() : answers[0]) ?? "nxdomain";
    if (answer === "silence") return undefined;
    const rcode = answer === "servfail" ? 2 : answer === "nxdomain" ? 3 : 0;
    const records =
      typeof answer === "string"
        ? []
        : answer.addresses.flatMap((text) => {
            const address = parseAddress(text);
            if (address === undefined || (address.length === 4 ? 1 : 28) !== type) return [];
            const record = Buffer.alloc(12 + address.length);
            record.writeUInt16BE(0xc00c, 0);
            record.writeUInt16BE(type, 2);
            record.writeUInt16BE(1, 4);
            record.writeUInt32BE(answer.ttl ?? 0, 6);
            record.writeUInt16BE(address.length, 10);
            record.set(address, 12);
            return [record];
          });
    const header = Buffer.alloc(12);
    message.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | rcode, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    return Buffer.concat([header, message.subarray(12, end), ...records]);
  }
}

function readQuestion(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}
