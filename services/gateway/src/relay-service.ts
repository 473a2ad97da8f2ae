import type { DescService } from "@bufbuild/protobuf";
import {
  type Call,
  type CallOptions,
  type Channel,
  clientAddressHeader,
  type ServiceImplementation,
} from "@sandgate/rpc";

/**
 * A service whose every method is another program's: the call is passed on with the caller's own credential and address, and
 * with nothing else that the caller said of itself. What the service answers or refuses is the answer.
 */
export function relayService(service: DescService, channel: Channel): ServiceImplementation {
  const handlers: Record<string, ServiceImplementation["handlers"][string]> = {};
  for (const method of service.methods)
    switch (method.methodKind) {
      case "unary":
        handlers[method.localName] = (request, call) => channel.unary(method, request, optionsOf(call));
        break;
      case "server_streaming":
        handlers[method.localName] = (request, call) => channel.serverStream(method, request, optionsOf(call));
        break;
      case "client_streaming":
        handlers[method.localName] = (requests, call) => channel.clientStream(method, requests, optionsOf(call));
        break;
      case "bidi_streaming":
        handlers[method.localName] = (requests, call) => channel.bidiStream(method, requests, optionsOf(call));
        break;
    }
  return { service, handlers };
}

function optionsOf(call: Call): CallOptions {
  const authorization = call.header("authorization");
  return {
    signal: call.signal,
    ...(call.deadline !== undefined && { timeoutMs: Math.max(1, call.deadline - Date.now()) }),
    headers: {
      [clientAddressHeader]: call.connection.remoteAddress,
      ...(authorization !== undefined && { authorization: printable(authorization) }),
    },
  };
}

/** What gRPC can carry. A credential with other characters is none of ours, and stays that. */
function printable(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, "?");
}
