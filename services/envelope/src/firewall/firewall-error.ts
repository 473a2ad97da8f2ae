/** The firewall cannot be had, or does not do what it is told. At start programs print it and exit with 2. */
export class FirewallError extends Error {
  override readonly name = "FirewallError";
  readonly exitCode = 2;
}
