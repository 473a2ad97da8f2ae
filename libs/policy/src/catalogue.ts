/** Hosts that are needed together. */
export interface HostGroup {
  readonly name: string;
  /** What it is for, in a few words. */
  readonly purpose: string;
  readonly hosts: readonly string[];
}

/** Names as they are kept here: labels in reverse, the order in which suffixes sort and match. */
type Reversed = string;

interface Entry {
  readonly purpose: string;
  readonly hosts: readonly Reversed[];
}

/** The catalogue of S1-15, with the hosts to which those of it redirect (D-63). */
const entries = {
  debian: { purpose: "Debian packages and their security updates", hosts: ["org.debian.deb", "org.debian.security"] },
  github: {
    purpose: "repositories, archives and releases of GitHub",
    hosts: [
      ...["com.github", "com.github.api", "com.github.codeload"],
      ...["com.githubusercontent.objects", "com.githubusercontent.raw", "com.githubusercontent.release-assets"],
    ],
  },
  npm: { purpose: "packages of Node.js", hosts: ["com.npmjs", "org.npmjs.registry"] },
  python: { purpose: "packages of Python", hosts: ["org.pypi", "org.pythonhosted.files"] },
  rust: { purpose: "crates of Rust", hosts: ["io.crates", "io.crates.index", "io.crates.static"] },
  ubuntu: {
    purpose: "Ubuntu packages and their security updates",
    hosts: ["com.ubuntu.archive", "com.ubuntu.ports", "com.ubuntu.security"],
  },
} satisfies Readonly<Record<string, Entry>>;

const unions: Readonly<Record<string, { readonly purpose: string; readonly of: readonly (keyof typeof entries)[] }>> = {
  os_updates: { purpose: "updates of the system", of: ["debian", "ubuntu"] },
  package_managers: { purpose: "packages of programming languages", of: ["github", "npm", "python", "rust"] },
};

/** Every group, by name. A policy names one as a host: `@python`. */
export const hostGroups: readonly HostGroup[] = [
  ...Object.entries(entries).map(([name, { purpose, hosts }]) => ({ name, purpose, hosts: hosts.map(inOrder) })),
  ...Object.entries(unions).map(([name, { purpose, of }]) => ({
    name,
    purpose,
    hosts: of.flatMap((each) => entries[each].hosts.map(inOrder)),
  })),
].sort((one, other) => (one.name < other.name ? -1 : 1));

/** The hosts of what is written as one: those of a group for `@name`, else itself. Undefined for a group that there is not. */
export function hostsOf(written: string): readonly string[] | undefined {
  return written.startsWith("@") ? hostGroups.find(({ name }) => name === written.slice(1))?.hosts : [written];
}

/**
 * Where strangers can put data: hosts that take uploads from anybody with an account, and shared fronts behind which anybody may serve.
 * Everything below a name counts as it does. No list of them is complete.
 */
const uploadable: readonly Reversed[] = [
  ...["app.netlify", "app.vercel", "app.web", "cloud.ngrok-free", "com.amazonaws", "com.azureedge"],
  ...["com.digitaloceanspaces", "com.discord", "com.discordapp", "com.dropbox", "com.dropboxapi", "com.firebaseapp"],
  ...["com.firebaseio", "com.github", "com.gitlab", "com.google.docs", "com.google.drive", "com.googleapis"],
  ...["com.herokuapp", "co.huggingface", "com.npmjs", "com.pastebin", "com.r2.cloudflarestorage"],
  ...["com.slack", "com.trycloudflare", "dev.pages", "dev.workers", "io.crates", "io.github", "io.ngrok", "io.webhook"],
  ...["net.azurewebsites", "net.cloudfront", "net.fastly", "net.windows.core", "org.bitbucket", "org.npmjs.registry"],
  ...["org.telegram.api", "org.transfer", "site.webhook"],
];

const uploadableSet: ReadonlySet<string> = new Set(uploadable.map(inOrder));

/** Whether data can leave through a host, or through one below it, to whoever has an account there. */
export function takesUploads(host: string): boolean {
  const labels = (host.startsWith("*.") ? host.slice(2) : host).split(".");
  return labels.some((_, index) => uploadableSet.has(labels.slice(index).join(".")));
}

function inOrder(reversed: Reversed): string {
  return reversed.split(".").reverse().join(".");
}
