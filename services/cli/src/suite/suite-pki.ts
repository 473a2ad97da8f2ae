import { createDevelopmentPki, type DevelopmentPki } from "@sandgate/pki/authority";
import type { ProgramName } from "./programs.ts";
import type { SuiteDirectories } from "./suite-directories.ts";
import type { SuiteFile } from "./suite-file.ts";
import type { Owner } from "./whole-file.ts";

/** As root, the programs that parse hostile bytes run as users of their own. */
export const programUsers: Readonly<Partial<Record<ProgramName, Owner>>> = {
  "egress-proxy": { uid: 65_530, gid: 65_530 },
  gateway: { uid: 65_529, gid: 65_529 },
};

/** Makes or renews what of the suite's certificates is missing or close to its end. Programs that run follow the files. */
export function completeSuitePki(options: {
  readonly directories: SuiteDirectories;
  readonly suite: SuiteFile;
  readonly userId: number;
}): Promise<DevelopmentPki> {
  const { directories, suite, userId } = options;
  return createDevelopmentPki({
    directory: directories.pki,
    trustDomain: suite.trustDomain,
    operatorUserId: suite.operatorUserId,
    ...(userId === 0 ? { owners: programUsers } : {}),
  });
}
