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
  readonly addressPort: number;
}

/** What the configuration of a suite on one machine depends on. */
export interface ConfigContext {
  readonly directories: SuiteDirectories;
  readonly suite: SuiteFile;
  readonly pki: DevelopmentPki;
  readonly database: DatabaseConfig;
  readonly node: string;
  readonly supervisor: string;
  /** The proxy's own user, where we are root. */
  readonly proxyUser: Owner | undefined;
  readonly developmentOrigins: readonly DevelopmentOrigin[];
  readonly developmentOriginCaFile: string | undefined;
}

/** The configuration of each program, as its schema has it. */
export function programConfigs(context: ConfigContext): Readonly<Record<ProgramName, object>> {
  const { directories, suite, pki } = context;
  const common = (name: ProgramName) => ({
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
    directories: { control: join(directories.runtime, "control"), egress: join(directories.runtime, "egress") },
  });
  return {
    auth: common("auth"),
    sandbox: common("sandbox"),
    policy: common("policy"),
    "egress-proxy": common("egress-proxy"),
    "all-in-one": common("all-in-one"),
  };
}
