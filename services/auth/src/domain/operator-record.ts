/** A user whom the configuration names. */
export interface OperatorRecord {
  readonly userId: string;
  readonly name: string;
  readonly organizationId: string;
  readonly organizationName: string;
  /** The number of a role in sandgate.options.v1.Role. */
  readonly role: number;
}
