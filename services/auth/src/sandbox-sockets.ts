/** The sockets in a sandbox's control directory. Both calls may be repeated. */
export interface SandboxSockets {
  /** Resolves once the sandbox can reach this service. */
  open(sandboxId: string): Promise<void>;
  /** Ends the sockets and every connection on them. */
  close(sandboxId: string): Promise<void>;
}
