import type { Logger } from "@sandgate/telemetry";
import type * as z from "zod";
import type { envelopeConfig } from "../envelope-config.ts";
import type { GuardBackend } from "./guard-backend.ts";
import { IptablesBackend } from "./iptables-backend.ts";
import { followRules } from "./nft-monitor.ts";
import { NftSession } from "./nft-session.ts";
import { NftablesBackend } from "./nftables-backend.ts";
import { runFirewallProgram } from "./run-firewall-program.ts";

type Settings = Pick<z.output<typeof envelopeConfig>, "firewall" | "guarded" | "instance">;

/** The backend that the configuration names. It does nothing yet. */
export function openGuardBackend({ firewall, guarded, instance }: Settings, logger: Logger): GuardBackend {
  const guard = { ports: guarded, device: firewall.device };
  switch (firewall.backend) {
    case "nftables": {
      const file = firewall.nft_file;
      const nft = { file, name: "nft", package: "nftables", setting: "firewall.nft_file" };
      const table = `sandgate_envelope_${instance}`;
      return new NftablesBackend({
        ...guard,
        nft: (args, input) => runFirewallProgram(nft, args, input),
        session: new NftSession({ file }),
        follow: (onChange) => followRules({ file, table, onChange }),
        table,
        logger,
      });
    }
    case "iptables": {
      const iptables = (family: 4 | 6, suffix: "" | "-restore") => {
        const name = family === 4 ? "iptables" : "ip6tables";
        const file = `${family === 4 ? firewall.iptables_file : firewall.ip6tables_file}${suffix}`;
        return { file, name: `${name}${suffix}`, package: "iptables", setting: `firewall.${name}_file` };
      };
      const ipset = { file: firewall.ipset_file, name: "ipset", package: "ipset", setting: "firewall.ipset_file" };
      return new IptablesBackend({
        ...guard,
        instance,
        iptables: (family, args) => runFirewallProgram(iptables(family, ""), args),
        restoreTables: (family, args, input) => runFirewallProgram(iptables(family, "-restore"), args, input),
        ipset: (args, input) => runFirewallProgram(ipset, args, input),
      });
    }
  }
}
