/** The values of sandgate.policy.v1.ProviderKind. */
export const providerKind = { bearer: 1, header: 2, basic: 3 } as const;

/** Where a secret may be sent, as the proto message has it. */
export interface EndpointMessage {
  host: string;
  /** In canonical form never 0. */
  port: number;
  /** In canonical form it begins with a slash and ends with none, but for "/" itself. */
  path: string;
  cleartext: boolean;
}

/** A provider as the proto message has it, but for what the service sets. A generated message can be passed where one is asked for. */
export interface ProviderMessage {
  name: string;
  kind: number;
  header: string;
  username: string;
  endpoints: EndpointMessage[];
  environment: string;
  baseUrlEnvironment: string;
}
