import type { Admission, Change, Guard } from "./admission.ts";

/**
 * The transaction that makes the table of an instance, and all in it, new: other tables are not touched, and there is no moment in which the
 * ports are open (EW-06, EW-07).
 *
 * A packet to a guarded port gets in from an address with a lease, and from nowhere else, whatever the state of its connection is. Replies are
 * no exception: who ends his connection with a reset that the guard drops has the kernel forget it, and the service's next packet would
 * make a new one "that the host opened".
 *
 * `ct state` is there also for what it brings with it: the kernel puts fragments together before it asks us.
 */
export function renderTable(table: string, guard: Guard, admissions: readonly Admission[]): string {
  const { ports, device } = guard;
  const guarded = ports.map(({ protocol, port }) => `${protocol} . ${port}`).join(", ");
  return `add table inet ${table}
delete table inet ${table}
table inet ${table} {
  set lease4 { type ipv4_addr; flags timeout; }
  set lease6 { type ipv6_addr; flags timeout; }
  set commits { type mark; flags timeout; }
  chain guard {
    ct state invalid drop
    ip saddr @lease4 accept
    ip6 saddr @lease6 accept
    drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "lo" accept${
      device === undefined
        ? ""
        : `
    iifname != "${device}" accept`
    }
    meta l4proto . th dport { ${guarded} } goto guard
  }
}
${renderAdmissions(table, admissions)}`;
}

function renderAdmissions(table: string, admissions: readonly Admission[]): string {
  const commands = ([4, 6] as const).flatMap((family) => {
    const ofFamily = admissions.filter(({ address }) => address.family === family);
    const elements = ofFamily.map(({ address, leftMs }) => `${address.text} timeout ${Math.ceil(leftMs)}ms`);
    return renderElements("add", `inet ${table} lease${family}`, elements);
  });
  return commands.map((command) => `${command}\n`).join("");
}

/**
 * The commands that bring addresses in and out, for one transaction. What the table had of them is replaced, also when it is expiring just now.
 * All are shut out before any is let in: even the beginning of these commands, cut off anywhere, lets nobody in for longer than a second who is not
 * to be in.
 */
export function renderChanges(table: string, changes: readonly Change[]): readonly string[] {
  const sets = ([4, 6] as const).map((family) => {
    const ofFamily = changes.filter(({ address }) => address.family === family);
    return {
      set: `inet ${table} lease${family}`,
      changes: ofFamily.map(({ address: { text }, leftMs }) => ({ text, leftMs })),
    };
  });
  return [
    ...sets.flatMap(({ set, changes: all }) => [
      ...renderElements(
        "add",
        set,
        all.map(({ text }) => `${text} timeout 1s`),
      ),
      ...renderElements(
        "delete",
        set,
        all.map(({ text }) => text),
      ),
    ]),
    ...sets.flatMap(({ set, changes: all }) => {
      const admitted = all.flatMap(({ text, leftMs }) =>
        leftMs === undefined ? [] : [`${text} timeout ${Math.ceil(leftMs)}ms`],
      );
      return renderElements("add", set, admitted);
    }),
  ];
}

/** The set of a table in which each transaction leaves its number, and the command that does it. */
export function renderProof(
  table: string,
  mark: number,
): { readonly set: string; readonly mark: number; readonly command: string } {
  const set = `inet ${table} commits`;
  return { set, mark, command: `add element ${set} { ${mark} timeout 60s }` };
}

function renderElements(verb: "add" | "delete", set: string, elements: readonly string[]): readonly string[] {
  return elements.length === 0 ? [] : [`${verb} element ${set} { ${elements.join(", ")} }`];
}
