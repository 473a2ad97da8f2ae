import { ServiceError } from "@sandgate/rpc";

/** Whether the process that relays calls is the web gateway: whose word for its clients' addresses counts. */
export function requireGateway(relay: { readonly kind: string; readonly name: string } | undefined): void {
  if (relay?.kind !== "service" || relay.name !== "gateway")
    throw new ServiceError("PEER_NOT_ALLOWED", "only the web gateway may relay calls");
}
