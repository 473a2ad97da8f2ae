import type { ClientAddress } from "../domain/client-address.ts";

/** A port that only leases open. */
export interface GuardedPort {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

/** Who is let in, and for how long from now. */
export interface Admission {
  readonly address: ClientAddress;
  readonly leftMs: number;
}

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
export function renderTable(table: string, ports: readonly GuardedPort[], admissions: readonly Admission[]): string {
  const guarded = ports.map(({ protocol, port }) => `${protocol} . ${port}`).join(", ");
  return `add table inet ${table}
delete table inet ${table}
table inet ${table} {
  set lease4 { type ipv4_addr; flags timeout; }
  set lease6 { type ipv6_addr; flags timeout; }
  chain guard {
    ct state invalid drop
    ip saddr @lease4 accept
    ip6 saddr @lease6 accept
    drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "lo" accept
    meta l4proto . th dport { ${guarded} } goto guard
  }
}
${admissions.map((admission) => renderAdmission(table, admission)).join("")}`;
}

/**
 * The commands that let an address in for this long; undefined: not at all. What the table had of it is replaced, in the same transaction,
 * also when it is expiring just now.
 */
export function renderChange(table: string, address: ClientAddress, leftMs: number | undefined): string {
  const element = `inet ${table} lease${address.family}`;
  const cleared = `add element ${element} { ${address.text} timeout 1s }\ndelete element ${element} { ${address.text} }\n`;
  return leftMs === undefined ? cleared : `${cleared}${renderAdmission(table, { address, leftMs })}`;
}

function renderAdmission(table: string, { address, leftMs }: Admission): string {
  return `add element inet ${table} lease${address.family} { ${address.text} timeout ${Math.ceil(leftMs)}ms }\n`;
}
