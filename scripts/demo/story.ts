import { join } from "node:path";
import { type ProxyAnswer, requestThroughProxy } from "./proxy-request.ts";
import type { CommandOutcome, Stage } from "./stage.ts";
import { askSupervisor } from "./supervisor-debug.ts";
import { milliseconds, type Telling } from "./telling.ts";

/** What the story's workload runs: one GET as any program makes it, and what came of it, as JSON. */
const requestProgram = `import { get as getPlain } from "node:http";
import { get as getSecure } from "node:https";
const [, , url] = process.argv;
const { status, headers, body } = await new Promise((resolve, reject) => {
  (url.startsWith("https:") ? getSecure : getPlain)(url, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (chunk) => { body += chunk; });
    response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
  }).on("error", reject);
});
console.log(JSON.stringify({ status, headers, body }));
`;

/** The Node that every sandbox sees. */
const node = "/opt/sandgate/bin/node";
const slowestRefusalMs = 1_000;

interface SandboxFacts {
  readonly id: string;
  readonly name: string;
  readonly spiffeId: string;
}

/** Plays the whole story. A claim that does not hold ends it. */
export async function playStory(stage: Stage, telling: Telling): Promise<void> {
  const { sandgate } = stage;

  await telling.step("A suite of its own starts: database, certificates, services, egress proxy", async () => {
    telling.command("sandgate up");
    const startedAt = performance.now();
    const up = await sandgate(["up", "--json", ...stage.originOptions]);
    const tookMs = performance.now() - startedAt;
    telling.claim(`all of it is ready after ${milliseconds(tookMs)}`, up.exitCode === 0, up.document ?? up.stderr);
    telling.fact("upMs", Math.round(tookMs));
    stage.runtime = String(recordOf(recordOf(up.document)["directories"])["runtime"]);
  });

  let alpha: SandboxFacts = { id: "", name: "", spiffeId: "" };
  let beta = alpha;
  await telling.step("Two sandboxes, two identities", async () => {
    telling.command("sandgate create alpha --allow api.example");
    telling.command("sandgate create beta");
    const startedAt = performance.now();
    const create = async (name: string, ...options: readonly string[]) => {
      const created = await sandgate(["create", name, ...options, "--json"]);
      const tookMs = performance.now() - startedAt;
      telling.claim(
        `${name} is READY after ${milliseconds(tookMs)}: enrolled, connected, policy enforced, confinement proved`,
        created.exitCode === 0,
        created.document ?? created.stderr,
      );
      telling.fact("readyMs", Math.round(tookMs));
      return sandboxOf(created);
    };
    [alpha, beta] = await Promise.all([create("alpha", "--allow", "api.example"), create("beta")]);
    telling.line(`alpha is ${alpha.spiffeId}`);
    telling.line(`beta  is ${beta.spiffeId}`);
    telling.claim(
      "their identities differ",
      /^spiffe:\/\/.+\/sandbox\/sbx-/.test(alpha.spiffeId) && alpha.spiffeId !== beta.spiffeId,
    );
    telling.fact("sandboxes", [alpha, beta]);
    await put(stage, alpha, "request.mjs", requestProgram);
    await put(stage, alpha, "authority.pem", await stage.origins.authority());
  });

  await telling.step("What alpha's policy allows passes", async () => {
    for (const url of ["http://api.example/", "https://api.example/"]) {
      telling.command(`sandgate exec alpha -- node request.mjs ${url}`);
      const answer = await requestFrom(stage, alpha, url);
      telling.claim(
        `${url.startsWith("https") ? "HTTPS" : "HTTP "} 200: ${answer.body.trim()}`,
        answer.status === 200,
        answer,
      );
    }
  });

  await telling.step("What it does not name is denied, and the answer says how to ask", async () => {
    telling.command("sandgate exec alpha -- node request.mjs http://vault.example/");
    const answer = await requestFrom(stage, alpha, "http://vault.example/");
    const problem = recordOf(parse(answer.body));
    telling.claim("403", answer.status === 403, answer);
    telling.claim("vault.example has heard nothing of it", stage.origins.requestsFor("vault.example") === 0);
    telling.claim(
      `x-deny-reason: ${answer.headers["x-deny-reason"]}`,
      answer.headers["x-deny-reason"] === "host_not_allowed",
      answer.headers,
    );
    const decisionId = String(problem["decision_id"]);
    telling.claim(`decision ${decisionId}`, /^dec-[a-z2-7]{20}$/.test(decisionId), problem);
    telling.claim(`how to ask: ${String(problem["how_to_ask"])}`, typeof problem["how_to_ask"] === "string", problem);
    telling.fact("decisionId", decisionId);
    telling.command("sandgate decisions alpha --denied");
    const decisions = await documentsOf(stage, ["decisions", "alpha", "--denied", "--json"]);
    telling.claim(
      "the operator finds the same decision",
      decisions.some((decision) => decision["decisionId"] === decisionId),
      decisions,
    );
  });

  await telling.step("Alpha asks for beta's configuration", async () => {
    telling.remark("with alpha's own certificate and token, from inside alpha's supervisor");
    telling.command(`supervisor debug-rpc get-sandbox-config --sandbox-id ${alpha.id}`);
    const own = await askSupervisor(stage, alpha.id, ["get-sandbox-config", "--sandbox-id", alpha.id]);
    telling.claim("its own it gets", own.exitCode === 0, own);
    telling.command(`supervisor debug-rpc get-sandbox-config --sandbox-id ${beta.id}`);
    const refusal = await askSupervisor(stage, alpha.id, ["get-sandbox-config", "--sandbox-id", beta.id]);
    telling.claim(`beta's it does not: ${refusal.output.trim().split("\n")[0]}`, refusal.exitCode !== 0, refusal);
    telling.command(`sandgate audit --action call.denied`);
    const events = await documentsOf(stage, ["audit", "--action", "call.denied", "--service", "sandbox", "--json"]);
    const event = events.find(({ principal, sandboxId }) => principal === alpha.spiffeId && sandboxId === beta.id);
    telling.claim("the audit log names both", event !== undefined, events);
    telling.line(`principal ${alpha.spiffeId}`);
    telling.line(`asked for ${beta.id}, ${JSON.stringify(event?.["details"] ?? {})}`);
    telling.fact("auditEvent", event);
  });

  const token = await tokenOf(stage, alpha);
  await telling.step("Alpha's token on beta's channel", async () => {
    const own = await presentToken(stage, alpha, token);
    telling.claim("on its own channel the token is good: 200", own.status === 200, own);
    const foreign = await presentToken(stage, beta, token);
    telling.claim(
      `on beta's it is refused: ${foreign.status} ${foreign.headers["x-deny-reason"]}`,
      foreign.status === 403 && foreign.headers["x-deny-reason"] === "binding_mismatch",
      foreign,
    );
  });

  await telling.step("The policy changes, and the same request passes", async () => {
    telling.command("sandgate policy set alpha --allow api.example --allow vault.example --wait");
    const set = await sandgate([
      ...["policy", "set", "alpha", "--allow", "api.example", "--allow", "vault.example", "--wait", "--json"],
    ]);
    const enforcedMs = Number(recordOf(set.document)["enforcedMs"]);
    telling.claim(
      `enforced ${milliseconds(enforcedMs)} after it was asked for`,
      set.exitCode === 0 && enforcedMs > 0,
      set.document ?? set.stderr,
    );
    telling.command("sandgate exec alpha -- node request.mjs http://vault.example/");
    const answer = await requestFrom(stage, alpha, "http://vault.example/");
    telling.claim(`200: ${answer.body.trim()}`, answer.status === 200, answer);
    telling.fact("enforcedMs", enforcedMs);
  });

  await telling.step("Alpha is revoked", async () => {
    const before = await presentToken(stage, alpha, token);
    telling.claim("until now its token is good: 200", before.status === 200, before);
    telling.command("sandgate revoke alpha --reason demo");
    const tookMs = await untilRefused(stage, alpha, token, async () => {
      const revoked = await sandgate(["revoke", "alpha", "--reason", "demo", "--json"]);
      telling.claim("every credential of alpha is revoked", revoked.exitCode === 0, revoked.document ?? revoked.stderr);
      return Date.parse(String(recordOf(revoked.document)["revokeTime"]));
    });
    telling.claim(`the proxy refuses it ${milliseconds(tookMs)} after that`, tookMs < slowestRefusalMs, tookMs);
    const after = await presentToken(stage, alpha, token);
    telling.claim(
      `${after.status} ${after.headers["x-deny-reason"]}`,
      after.status === 407 && after.headers["x-deny-reason"] === "token_revoked",
      after,
    );
    telling.fact("refusedMs", tookMs);
  });
}

/** Runs one request in a sandbox. */
async function requestFrom(stage: Stage, sandbox: SandboxFacts, url: string): Promise<ProxyAnswer> {
  const program = ["env", "NODE_EXTRA_CA_CERTS=/workspace/authority.pem", node, "request.mjs", url];
  const outcome = await stage.sandgate(["exec", "--no-stdin", sandbox.name, "--", ...program]);
  const answer = recordOf(outcome.document);
  if (outcome.exitCode !== 0 || typeof answer["status"] !== "number")
    throw new Error(`the request to ${url} ended with ${outcome.exitCode}: ${outcome.stderr.trim()}`);
  const headers = Object.entries(recordOf(answer["headers"])).map(([name, value]) => [name, String(value)]);
  return { status: answer["status"], headers: Object.fromEntries(headers), body: String(answer["body"]) };
}

/** Puts a file into a sandbox's workspace, through the standard input of a process in it. */
async function put(stage: Stage, sandbox: SandboxFacts, name: string, content: string): Promise<void> {
  const { exitCode, stderr } = await stage.sandgate(
    ["exec", sandbox.name, "--", "/bin/sh", "-c", `cat > ${name}`],
    content,
  );
  if (exitCode !== 0) throw new Error(`${name} could not be put into ${sandbox.name}: ${stderr.trim()}`);
}

/** The egress token that a sandbox's supervisor holds. The workload never sees it. */
async function tokenOf(stage: Stage, sandbox: SandboxFacts): Promise<string> {
  const { exitCode, output } = await askSupervisor(stage, sandbox.id, ["show-token", "--egress"]);
  if (exitCode !== 0) throw new Error(`the supervisor does not show its token: ${output.trim()}`);
  return output.trim();
}

/** Presents a token on a sandbox's channel. */
function presentToken(stage: Stage, channel: SandboxFacts, token: string): Promise<ProxyAnswer> {
  const socket = join(stage.runtime, "egress", channel.id, "egress.sock");
  return requestThroughProxy({ socket, url: "http://api.example/", token });
}

/**
 * Presents the token again and again while it is revoked, until it is refused or the connection is cut. Answers the milliseconds from
 * the moment of revocation, as Auth recorded it.
 */
async function untilRefused(
  stage: Stage,
  sandbox: SandboxFacts,
  token: string,
  revoke: () => Promise<number>,
): Promise<number> {
  const revoking = revoke();
  const deadline = Date.now() + 10_000;
  let refusedAt = Number.POSITIVE_INFINITY;
  while (refusedAt === Number.POSITIVE_INFINITY && Date.now() < deadline) {
    const passed = await presentToken(stage, sandbox, token).then(
      ({ status }) => status === 200,
      () => false, // cut
    );
    if (!passed) refusedAt = Date.now();
  }
  return Math.max(0, refusedAt - (await revoking));
}

function sandboxOf({ document }: CommandOutcome): SandboxFacts {
  const { id, name, spiffeId } = recordOf(document);
  return { id: String(id), name: String(name), spiffeId: String(spiffeId) };
}

async function documentsOf(stage: Stage, words: readonly string[]): Promise<readonly Record<string, unknown>[]> {
  const { stdout } = await stage.sandgate(words);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => recordOf(parse(line)));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
