const root = "/opt/sandgate";

/**
 * How to start a program that the driver brought into a container whose image may have none: by the bundle's own loader, with its own
 * libraries. Must be started with an environment of ours: the loader obeys variables.
 */
export function bundledProgram(name: "node" | "choom" | "prlimit" | "setpriv" | "setsid" | "env" | "mkfifo"): string[] {
  return [`${root}/lib/ld.so`, "--library-path", `${root}/lib`, `${root}/programs/${name}`];
}
