/** What of an image matters to a sandbox. */
export interface ImageFacts {
  /** By its content: a tag may come to mean another image between two calls. */
  readonly id: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Where it wants something writable. */
  readonly volumes: readonly string[];
}

/** The parts of an engine's answer about an image that are read here. */
export interface ImageAnswer {
  readonly Id: string;
  readonly Config?: {
    readonly Env?: readonly string[] | null;
    readonly Volumes?: Readonly<Record<string, unknown>> | null;
  } | null;
}

/** Reads an engine's answer. */
export function readImageFacts({ Id, Config }: ImageAnswer): ImageFacts {
  const pairs = (Config?.Env ?? []).map((line): [string, string] => {
    const end = line.indexOf("=");
    return end < 0 ? [line, ""] : [line.slice(0, end), line.slice(end + 1)];
  });
  const environment = Object.fromEntries(pairs.filter(([name]) => name !== ""));
  return { id: Id, environment, volumes: Object.keys(Config?.Volumes ?? {}) };
}

/** Directories that an image must not lay anything over: the supervisor's and the kernel's. */
const reserved = [
  ...["/opt/sandgate", "/run/sandgate", "/run/identity", "/run/launch", "/proc", "/sys", "/dev", "/sbin/docker-init"],
  ...["passwd", "group", "hosts", "hostname", "nsswitch.conf", "ld.so.preload", "resolv.conf"].map(
    (name) => `/etc/${name}`,
  ),
];

/** Why a sandbox cannot be made of an image; undefined where it can. The image is as hostile as what runs in it. */
export function findImageFault({ volumes }: Pick<ImageFacts, "volumes">): string | undefined {
  const within = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`);
  const isPlain = (path: string): boolean =>
    /^(\/[A-Za-z0-9._+@-]+)+$/.test(path) && !path.split("/").some((part) => part === "." || part === "..");
  const bad = volumes.find(
    (path) => !isPlain(path) || reserved.some((directory) => within(path, directory) || within(directory, path)),
  );
  return bad === undefined ? undefined : "the image declares a volume where a sandbox's own files are";
}

/** The image's variables that a workload gets: those with names that a process can be given. Ours are not the image's to set. */
export function workloadVariables({ environment }: Pick<ImageFacts, "environment">): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      ([name, value]) =>
        /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !name.startsWith("SANDGATE_") && !value.includes("\0"),
    ),
  );
}

/** Whether an operator allows an image: by its full name, or by a pattern that ends in `*`. */
export function isAllowedImage(image: string, allowed: readonly string[]): boolean {
  return allowed.some((each) => (each.endsWith("*") ? image.startsWith(each.slice(0, -1)) : image === each));
}
