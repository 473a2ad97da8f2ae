import { hostGroups } from "@sandgate/policy";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-codes.ts";
import { formatTable } from "../table.ts";

/** `sandgate policy groups`: the hosts that `@name` stands for; needs no suite. */
export async function printHostGroups({ output }: CommandContext): Promise<number> {
  for (const group of hostGroups) output.event(group);
  const rows = hostGroups.map(({ name, purpose, hosts }) => [`@${name}`, purpose, hosts.join(" ")]);
  output.line(formatTable(["group", "for", "hosts"], rows));
  return exitCodes.ok;
}
