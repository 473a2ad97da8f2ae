import { createHash } from "node:crypto";
import type { Change, Guard } from "./admission.ts";

/** The kernel takes names of 31 characters for sets, and of 28 for chains. */
const LONGEST_NAME = 20;
/** Sets of an instance are made alike by all its lives: the kernel takes an old set for a new one only if they are. */
const MAX_ELEMENTS = 131_072;

/** What belongs to an instance: a chain of this name in the table mangle of each family, and a set for each. */
export interface IptablesNames {
  readonly chain: string;
  readonly sets: Readonly<Record<4 | 6, string>>;
}

/** The names of an instance; a long name of an instance is there as a hash. */
export function iptablesNames(instance: string): IptablesNames {
  const name =
    instance.length <= LONGEST_NAME
      ? instance
      : createHash("sha256").update(instance).digest("hex").slice(0, LONGEST_NAME);
  return { chain: `sandgt_${name}`, sets: { 4: `sandgt4_${name}`, 6: `sandgt6_${name}` } };
}

/** The commands for ipset that make the sets of an instance where they are missing, and empty them: others' sets are not touched. */
export function renderSets({ sets }: IptablesNames): readonly string[] {
  return ([4, 6] as const).flatMap((family) => [
    `create ${sets[family]} hash:ip family ${family === 4 ? "inet" : "inet6"} timeout 1 maxelem ${MAX_ELEMENTS}`,
    `flush ${sets[family]}`,
  ]);
}

/** Where the jump to the chain is among the rules of INPUT: nowhere; behind one of others, which may end the way of a packet; or before all of them. */
export type JumpPlace = "missing" | "behind" | "first";

/** Finds it in what iptables prints for `-S INPUT`. Jumps to chains of other envelopes stand in nobody's way. */
export function findJump({ chain }: IptablesNames, listing: string): JumpPlace {
  const rules = listing.split("\n").filter((rule) => rule.startsWith("-A "));
  const at = rules.indexOf(jumpTo(chain));
  if (at < 0) return "missing";
  return rules.slice(0, at).every((rule) => /^-A INPUT -j sandgt_\w+$/.test(rule)) ? "first" : "behind";
}

/**
 * The input for iptables-restore with --noflush that makes the chain of an instance new, and the jump to it the first one, in one step; it touches
 * nothing of others (EW-06, EW-07). What has a lease returns to where it came from, so that others' rules still count; all else to a guarded port
 * is dropped, whatever the state of its connection is.
 *
 * `conntrack` is there also for what it brings with it: the kernel puts fragments together before it asks us.
 */
export function renderChain(
  { chain, sets }: IptablesNames,
  family: 4 | 6,
  { ports, device }: Guard,
  jump: JumpPlace,
): string {
  const rules = [
    "-i lo -j RETURN",
    ...(device === undefined ? [] : [`! -i ${device} -j RETURN`]),
    ...ports.map(({ protocol, port }) => `-p ${protocol} --dport ${port} -m conntrack --ctstate INVALID -j DROP`),
    `-m set --match-set ${sets[family]} src -j RETURN`,
    ...ports.map(({ protocol, port }) => `-p ${protocol} --dport ${port} -j DROP`),
  ];
  return [
    "*mangle",
    `:${chain} - [0:0]`,
    ...rules.map((rule) => `-A ${chain} ${rule}`),
    ...(jump === "behind" ? [`-D INPUT -j ${chain}`] : []),
    ...(jump === "first" ? [] : [`-I INPUT 1 -j ${chain}`]),
    "COMMIT",
    "",
  ].join("\n");
}

function jumpTo(chain: string): string {
  return `-A INPUT -j ${chain}`;
}

/**
 * The commands for ipset that bring addresses in and out. All are shut out before any is let in, for ipset does one after the other, and stops at
 * the first that it cannot do. Sets count in seconds, and 0 is for ever.
 */
export function renderSetChanges({ sets }: IptablesNames, changes: readonly Change[]): readonly string[] {
  const out = changes.filter(({ leftMs }) => leftMs === undefined);
  return [
    ...out.map(({ address }) => `del ${sets[address.family]} ${address.text}`),
    ...changes.flatMap(({ address, leftMs }) =>
      leftMs === undefined
        ? []
        : [`add ${sets[address.family]} ${address.text} timeout ${Math.max(1, Math.ceil(leftMs / 1_000))}`],
    ),
  ];
}
