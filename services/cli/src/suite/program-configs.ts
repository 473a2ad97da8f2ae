import { join } from "node:path";
import type { DevelopmentPki } from "@sandgate/pki/authority";
import type { ProgramName } from "./programs.ts";
import type { DatabaseConfig } from "./suite-database.ts";
import type { SuiteDirectories } from "./suite-directories.ts";
import type { SuiteFile } from "./suite-file.ts";
import type { Owner } from "./whole-file.ts";

/** A destination that leads to a server of this machine, for development. */
export interface DevelopmentOrigin {
  readonly host: string;
  readonly port: number;
  readonly address: string;
  readonly target_port: number;
}

/** What the configuration of a suite on one machine depends on. */
export interface ConfigContext {
  readonly directories: SuiteDirectories;
  readonly suite: SuiteFile;
  readonly pki: DevelopmentPki;
  readonly database: DatabaseConfig;
  readonly node: string;
  readonly supervisor: string;
  /** The supervisor's native module for terminals. */
  readonly terminal: string;
  /** The proxy's own user, where we are root. */
  readonly proxyUser: Owner | undefined;
  /** Origins of the web pages that may call. */
  readonly allowedOrigins: readonly string[];
  readonly developmentOrigins: readonly DevelopmentOrigin[];
}

/** The configuration of each program, as its schema has it. */
export function programConfigs(context: ConfigContext): Readonly<Record<ProgramName, object>> {
  const { directories, suite } = context;
  const sockets = { control: join(directories.runtime, "control"), egress: join(directories.runtime, "egress") };
  const { database } = context;
  return {
    auth: {
      ...common(context, "auth"),
      ...listening(suite, "auth", ["edge", "mtls", "gateway"]),
      database,
      directories: { control: sockets.control },
      ...authSettings(context, "auth"),
    },
    policy: {
      ...common(context, "policy"),
      ...listening(suite, "policy", ["edge", "mtls", "gateway"]),
      database,
      directories: { control: sockets.control },
      clients: clients(suite, ["auth"]),
      ...policySettings(context),
    },
    sandbox: {
      ...common(context, "sandbox"),
      ...listening(suite, "sandbox", ["edge", "mtls", "gateway"]),
      database,
      clients: clients(suite, ["auth", "policy"]),
      directories: sockets,
      ...sandboxSettings(context),
    },
    "all-in-one": {
      ...common(context, "all-in-one"),
      ...listening(suite, "all-in-one", ["edge", "mtls"]),
      web: web(context, "all-in-one"),
      database,
      directories: sockets,
      ...authSettings(context, "all-in-one"),
      ...policySettings(context),
      ...sandboxSettings(context),
    },
    "egress-proxy": {
      ...common(context, "egress-proxy"),
      clients: clients(suite, ["auth", "policy"]),
      directories: { egress: sockets.egress },
      ...(context.developmentOrigins.length === 0 ? {} : { development: { origins: context.developmentOrigins } }),
    },
    gateway: {
      ...common(context, "gateway"),
      web: web(context, "gateway"),
      clients: Object.fromEntries(
        (["auth", "sandbox", "policy"] as const).map((service) => [
          service,
          { address: loopback(suite.ports[`${service}.gateway`]) },
        ]),
      ),
    },
  };
}

function common({ suite, pki }: ConfigContext, name: ProgramName): object {
  return {
    // its certificates come from authorities whose keys lie beside them, which no production suite may have
    mode: "development",
    trust_domain: suite.trustDomain,
    admin: { port: suite.ports[`${name}.admin`] ?? 0 },
    tls: {
      certificate_file: pki.services[name].certificateFile,
      key_file: pki.services[name].keyFile,
      service_ca_file: pki.serviceAuthority.certificateFile,
      sandbox_ca_file: pki.sandboxAuthority.certificateFile,
      operator_ca_file: pki.operatorAuthority.certificateFile,
    },
  };
}

function listening(suite: SuiteFile, name: ProgramName, listeners: readonly string[]): object {
  const at = (listener: string) => ({ addresses: [loopback(suite.ports[`${name}.${listener}`])] });
  return { listeners: Object.fromEntries(listeners.map((listener) => [listener, at(listener)])) };
}

function web({ suite, allowedOrigins }: ConfigContext, name: ProgramName): object {
  return { addresses: [loopback(suite.ports[`${name}.web`])], allowed_origins: allowedOrigins };
}

function clients(suite: SuiteFile, services: readonly ("auth" | "policy")[]): object {
  const addressOf = (service: "auth" | "policy") =>
    loopback(suite.ports[`${suite.topology === "all-in-one" ? "all-in-one" : service}.mtls`]);
  return Object.fromEntries(services.map((service) => [service, { address: addressOf(service) }]));
}

function authSettings({ directories, suite, pki }: ConfigContext, name: "auth" | "all-in-one"): object {
  return {
    key_directory: join(directories.state, "keys"),
    sandbox_ca: { certificate_file: pki.sandboxAuthority.certificateFile, key_file: pki.sandboxAuthority.keyFile },
    operators: [
      {
        id: suite.operatorUserId,
        name: "operator",
        organization_id: suite.organizationId,
        organization_name: "local",
        role: "admin",
      },
    ],
    jwks: { address: loopback(suite.ports[`${name}.jwks`]) },
  };
}

function policySettings({ directories }: ConfigContext): object {
  return { provider_key_file: join(directories.state, "keys", "providers.key") };
}

function sandboxSettings(context: ConfigContext): object {
  const { directories, suite, node, supervisor, terminal, proxyUser } = context;
  const common = {
    node_file: node,
    supervisor_file: supervisor,
    terminal_file: terminal,
    ...(proxyUser === undefined ? {} : { egress_uid: proxyUser.uid }),
  };
  const { driver = { kind: "local" } } = suite;
  return {
    state_directory: directories.state,
    driver:
      driver.kind === "local"
        ? { local: common }
        : {
            docker: {
              ...common,
              default_image: driver.image,
              allowed_images: driver.allowedImages,
              ...(driver.socket !== undefined && { socket: driver.socket }),
              ...(driver.minIsolation !== undefined && { min_isolation: driver.minIsolation }),
              ...(driver.memoryBytes !== undefined && { memory_bytes: driver.memoryBytes }),
              ...(driver.cpus !== undefined && { cpus: driver.cpus }),
              ...(driver.workspaceBytes !== undefined && { workspace_bytes: driver.workspaceBytes }),
            },
          },
  };
}

function loopback(port: number | undefined): string {
  return `127.0.0.1:${port ?? 0}`;
}
