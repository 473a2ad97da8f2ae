/** Rival: @grpc/grpc-js with a handler that passes bytes through, and answers the same ones to anybody with a certificate. */
import { readFileSync } from "node:fs";
import { type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import { serveMeasurements } from "../server-process.ts";
import { encodeAnswer } from "./answer.ts";
import type { ServerIdentity } from "./bench-identity.ts";

const identity = JSON.parse(process.argv[2] ?? "") as ServerIdentity; // written by unary.ts
const { tls } = identity;
const answer = encodeAnswer(identity);
const asIs = (bytes: Buffer): Buffer => bytes;
const getPrincipal: handleUnaryCall<Buffer, Buffer> = (_call, callback) => callback(null, answer);

const server = new Server();
server.addService(
  {
    GetPrincipal: {
      path: "/sandgate.auth.v1.AuthService/GetPrincipal",
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
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
