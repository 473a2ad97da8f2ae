import { domainToUnicode } from "node:url";
import { getPublicSuffix } from "tldts";
import { takesUploads } from "./catalogue.ts";
import { type ReadonlyRule, ruleAction, ruleProtocol } from "./policy-message.ts";

/** Something about a rule that whoever approves it should know. */
export interface ReviewWarning {
  readonly rule: string;
  /** As in a PolicyFault. */
  readonly field: string;
  readonly message: string;
  /** What is meant; of a host in another script, how it looks. */
  readonly value: string;
}

/** What is remarkable about rules that pass lint: names that may look like others, wildcards, odd ports, private addresses. */
export function reviewRules(rules: readonly ReadonlyRule[]): readonly ReviewWarning[] {
  const warnings: ReviewWarning[] = [];
  for (const rule of rules) {
    const warn = (field: string, message: string, value: string) =>
      warnings.push({ rule: rule.name, field, message, value });
    if (rule.action === ruleAction.deny) continue; // it opens nothing
    const readsOnly =
      rule.methods?.every((method) => method === "GET" || method === "HEAD") === true && rule.methods.length > 0;
    for (const [index, host] of rule.hosts.entries()) {
      reviewHost(host, (...said) => warn(`hosts[${index}]`, ...said));
      if (!readsOnly && takesUploads(host))
        warn(
          `hosts[${index}]`,
          "exfiltration-capable: takes uploads from anybody, or serves what anybody puts there",
          host,
        );
    }
    for (const [index, port] of rule.ports.entries())
      if (port !== 80 && port !== 443) warn(`ports[${index}]`, "not a port of the web", String(port));
    for (const [index, range] of rule.allowedIps.entries())
      warn(`allowed_ips[${index}]`, "opens addresses that are not public", range);
    if (rule.protocol === ruleProtocol.tcp)
      warn("protocol", "lets any bytes through: neither names in TLS nor requests are looked at", "tcp");
  }
  return warnings;
}

function reviewHost(host: string, warn: (message: string, value: string) => void): void {
  const wildcard = host.startsWith("*.");
  if (wildcard) warn("allows every name below it, at any depth", host);
  const options = { allowPrivateDomains: true, extractHostname: false };
  if (!wildcard && getPublicSuffix(host, options) === host) warn("is a public suffix itself", host);
  const shown = domainToUnicode(wildcard ? host.slice(2) : host);
  const foreign = shown
    .split(".")
    .map(scriptsOf)
    .find((scripts) => scripts.some((script) => script !== "Latin"));
  if (foreign === undefined) {
    if (/\P{ASCII}/u.test(shown)) warn("has letters that are easily taken for others", shown);
    return;
  }
  if (isMixed(foreign)) warn(`mixes scripts (${foreign.join(", ")}), as names made to deceive do`, shown);
  else warn(`is written in ${foreign.join(" and ")} letters, which may look like others`, shown);
}

const scripts = [
  "Latin",
  "Greek",
  "Cyrillic",
  "Armenian",
  "Hebrew",
  "Arabic",
  "Devanagari",
  "Thai",
  "Georgian",
  "Hangul",
  "Cherokee",
  "Han",
  "Hiragana",
  "Katakana",
].map((name) => ({ name, letters: new RegExp(`\\p{Script=${name}}`, "u") }));
/** A letter that belongs to a script. */
const anyLetter = /(?=\p{Letter})[^\p{Script=Common}\p{Script=Inherited}]/u;

/** The scripts of a label's letters; "other" for those of none that is told apart. */
function scriptsOf(label: string): readonly string[] {
  const found = new Set<string>();
  for (const letter of label)
    if (anyLetter.test(letter)) found.add(scripts.find(({ letters }) => letters.test(letter))?.name ?? "other");
  return [...found];
}

/** Japanese and Korean are written in several at once. */
function isMixed(found: readonly string[]): boolean {
  const east = [new Set(["Han", "Hiragana", "Katakana"]), new Set(["Han", "Hangul"])];
  return found.length > 1 && !east.some((together) => found.every((script) => together.has(script)));
}
