/** Rival: @grpc/grpc-js with a handler that reads and answers messages, the same one to anybody with a certificate. */
import { readFileSync } from "node:fs";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import { AuthService, type GetPrincipalRequest, type GetPrincipalResponse } from "@sandgate/api/auth";
import { serveMeasurements } from "../server-process.ts";
import { answerTo } from "./answer.ts";
import type { ServerIdentity } from "./bench-identity.ts";

const { tls, sandboxes } = JSON.parse(process.argv[2] ?? "") as ServerIdentity; // written by unary.ts
const [first] = sandboxes;
if (first === undefined) throw new RangeError("there is no sandbox");
const answer = answerTo(first);
const getPrincipal: handleUnaryCall<GetPrincipalRequest, GetPrincipalResponse> = (_call, callback) =>
  callback(null, answer);

function serializer<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

const { input, output } = AuthService.method.getPrincipal;
const server = new Server();
server.addService(
  {
    GetPrincipal: {
      path: "/sandgate.auth.v1.AuthService/GetPrincipal",
      requestStream: false,
      responseStream: false,
      requestSerialize: serializer(input),
      requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
      responseSerialize: serializer(output),
      responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
    },
  },
  { GetPrincipal: getPrincipal },
);
const authorities = [tls.service_ca_file, tls.sandbox_ca_file, tls.operator_ca_file].map((file) => readFileSync(file));
const credentials = ServerCredentials.createSsl(
  Buffer.concat(authorities),
  [{ cert_chain: readFileSync(tls.certificate_file), private_key: readFileSync(tls.key_file) }],
  true,
);
server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
  if (error !== null) throw error;
  serveMeasurements(port);
});
