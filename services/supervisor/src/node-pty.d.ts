declare module "@lydell/node-pty/requireBinary.js" {
  /** Loads a file of the platform's binary package. */
  export function requireBinary<T>(file: string): T;
}
