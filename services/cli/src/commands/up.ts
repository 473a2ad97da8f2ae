import { isIP } from "node:net";
import { resolve } from "node:path";
import type { CommandContext } from "../command-context.ts";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";
import { formatDuration } from "../quantities.ts";
import type { DevelopmentOrigin } from "../suite/program-configs.ts";
import { runInForeground } from "../suite/run-in-foreground.ts";
import { startOptionsOf } from "../suite/start-options.ts";
import { type StartedSuite, startSuite } from "../suite/start-suite.ts";
import type { SuiteDriver } from "../suite/suite-file.ts";

/** Options of `sandgate up`. */
export interface UpOptions {
  readonly separate?: boolean;
  readonly allInOne?: boolean;
  readonly foreground?: boolean;
  readonly edgePort?: number;
  readonly mtlsPort?: number;
  readonly webPort?: number;
  readonly allowOrigin: readonly string[];
  readonly driver?: "local" | "docker";
  readonly image?: string;
  readonly allowImage: readonly string[];
  readonly dockerSocket?: string;
  readonly minIsolation?: "container" | "gvisor";
  readonly sandboxMemory?: number;
  readonly sandboxCpus?: number;
  readonly workspaceSize?: number;
  readonly databaseUrlFile?: string;
  readonly developmentOrigin: readonly string[];
  readonly timeout: number;
}

/** `sandgate up`: starts the suite and says how to reach it. */
export async function up(context: CommandContext, options: UpOptions): Promise<number> {
  const startedAt = performance.now();
  const origins = options.developmentOrigin.map(parseDevelopmentOrigin);
  const suite = await startSuite({
    ...startOptionsOf(context),
    topology: options.separate === true ? "separate" : options.allInOne === true ? "all-in-one" : undefined,
    driver: driverOf(options),
    detached: options.foreground !== true,
    edgePort: options.edgePort,
    mtlsPort: options.mtlsPort,
    webPort: options.webPort,
    allowedOrigins: options.allowOrigin,
    databaseUrlFile: options.databaseUrlFile === undefined ? undefined : resolve(options.databaseUrlFile),
    developmentOrigins: origins,
    timeoutMs: options.timeout,
  });
  const tookMs = performance.now() - startedAt;
  announce(context, suite, tookMs);
  if (options.foreground !== true || suite.alreadyRunning) return exitCodes.ok;
  return runInForeground(context, suite);
}

/** What was said of the driver; undefined where nothing was. */
function driverOf(options: UpOptions): SuiteDriver | undefined {
  const { driver, image, allowImage, dockerSocket, minIsolation, sandboxMemory, sandboxCpus, workspaceSize } = options;
  if (driver === "docker") {
    if (image === undefined)
      throw usageFailure("--driver docker needs --image", "`sandgate up --driver docker --image IMAGE`");
    return {
      kind: "docker",
      image,
      allowedImages: allowImage,
      ...(dockerSocket !== undefined && { socket: resolve(dockerSocket) }),
      ...(minIsolation !== undefined && { minIsolation }),
      ...(sandboxMemory !== undefined && { memoryBytes: sandboxMemory }),
      ...(sandboxCpus !== undefined && { cpus: sandboxCpus }),
      ...(workspaceSize !== undefined && { workspaceBytes: workspaceSize }),
    };
  }
  const others = [image, dockerSocket, minIsolation, sandboxMemory, sandboxCpus, workspaceSize];
  if (allowImage.length > 0 || others.some((value) => value !== undefined))
    throw usageFailure(
      "images, engines and these limits are the docker driver's",
      "`sandgate up --driver docker --image IMAGE`",
    );
  return driver === undefined ? undefined : { kind: "local" };
}

function announce(context: CommandContext, suite: StartedSuite, tookMs: number): void {
  const { output } = context;
  const { colors } = output;
  output.event({
    alreadyRunning: suite.alreadyRunning,
    topology: suite.topology,
    tookMs: Math.round(tookMs),
    clientFile: context.directories().clientFile,
    directories: { state: context.directories().state, runtime: context.directories().runtime },
    addresses: suite.client.addresses,
    edgeAddresses: suite.client.edgeAddresses,
    webAddress: suite.client.webAddress,
    processes: suite.processes.map(({ name, pid }) => ({ name, pid })),
  });
  output.line(
    suite.alreadyRunning
      ? `${colors.green("the suite is running already")}`
      : `${colors.green("the suite is running")} ${colors.dim(`after ${formatDuration(tookMs)}`)}`,
  );
  const addresses = (of: Readonly<Record<string, string>>) => {
    const distinct = [...new Set(Object.values(of))];
    return distinct.length === 1
      ? (distinct[0] ?? "")
      : Object.entries(of)
          .map(([name, address]) => `${name} ${address}`)
          .join(", ");
  };
  output.line(`  edge listener   ${addresses(suite.client.edgeAddresses)}`);
  output.line(`  mTLS listener   ${addresses(suite.client.addresses)}`);
  if (suite.client.webAddress !== undefined) output.line(`  web front       https://${suite.client.webAddress}`);
  output.line(`  state           ${context.directories().state}`);
}

/** HOST:PORT=ADDRESS:PORT. */
function parseDevelopmentOrigin(text: string): DevelopmentOrigin {
  const match = /^([a-z0-9.-]+):(\d{1,5})=(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const [, host = "", port = "", ipv6, ipv4 = "", targetPort = ""] = match ?? [];
  const address = ipv6 ?? ipv4;
  if (match === null || isIP(address) === 0)
    throw usageFailure(
      "--development-origin takes HOST:PORT=ADDRESS:PORT",
      "write it as in --development-origin api.example:443=127.0.0.1:8443",
    );
  return { host, port: Number(port), address, target_port: Number(targetPort) };
}
