import { type DescMethod, getOption } from "@bufbuild/protobuf";
import { access } from "@sandgate/api/options";
import type { Channel } from "@sandgate/rpc";

/** The channel, except for methods that an operator's certificate alone opens: their calls take the other one. */
export function certificateChannel(channel: Channel, withCertificate: () => Channel): Channel {
  const wayOf = (method: DescMethod) => (getOption(method, access).operatorCertificate ? withCertificate() : channel);
  return {
    unary: (method, request, options) => wayOf(method).unary(method, request, options),
    serverStream: (method, request, options) => wayOf(method).serverStream(method, request, options),
    clientStream: (method, requests, options) => wayOf(method).clientStream(method, requests, options),
    bidiStream: (method, requests, options) => wayOf(method).bidiStream(method, requests, options),
    close: () => channel.close(),
  };
}
