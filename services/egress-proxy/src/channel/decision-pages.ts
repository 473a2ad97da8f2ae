import type { Refusal } from "../decision/refusal.ts";
import { explainRefusal, type RefusedRequest } from "./refusal-reply.ts";

const mostPages = 256;

/** An answer of the proxy's own. */
export interface DecisionPage {
  readonly status: 200 | 404 | 405;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What one sandbox was refused lately: it can read why, and whether asking helps. The record of all decisions is the Policy service's. */
export class DecisionPages {
  readonly #clock: () => number;
  /** By decision, in order. */
  readonly #pages = new Map<string, Readonly<Record<string, unknown>>>();

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Keeps what is said of a refusal; the oldest is forgotten when there are many. */
  note(refusal: Refusal, about: RefusedRequest): void {
    const time = new Date(this.#clock()).toISOString();
    this.#pages.set(about.decisionId, { ...explainRefusal(refusal, about), time });
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > mostPages && oldest !== undefined) this.#pages.delete(oldest);
  }

  /** The page of a decision; at `/` the newest ten. */
  answer(method: string, path: string): DecisionPage {
    if (method !== "GET" && method !== "HEAD") return { status: 405, body: { detail: "decisions are only read" } };
    const [name = ""] = path.slice(1).split("?", 1);
    if (name === "") return { status: 200, body: { decisions: [...this.#pages.values()].slice(-10).reverse() } };
    const page = this.#pages.get(name);
    if (page !== undefined) return { status: 200, body: page };
    const detail = "this sandbox was not refused anything under this id lately; an operator finds older decisions";
    return { status: 404, body: { detail } };
  }
}

/** The bytes of a page. */
export function writeDecisionPage({ status, body }: DecisionPage, headOnly: boolean): string {
  const text = `${JSON.stringify(body)}\n`;
  const fields = [
    `HTTP/1.1 ${status} ${{ 200: "OK", 404: "Not Found", 405: "Method Not Allowed" }[status]}`,
    "content-type: application/json",
    "x-content-type-options: nosniff",
    `content-length: ${Buffer.byteLength(text)}`,
    "cache-control: no-store",
    "connection: close",
    ...(status === 405 ? ["allow: GET, HEAD"] : []),
  ];
  return `${fields.join("\r\n")}\r\n\r\n${headOnly ? "" : text}`;
}
