/** Rival: node:http2 alone, answering the same bytes to anybody with a certificate. */
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { serveMeasurements } from "../server-process.ts";
import { encodeAnswer } from "./answer.ts";
import type { ServerIdentity } from "./bench-identity.ts";

const identity = JSON.parse(process.argv[2] ?? "") as ServerIdentity; // written by unary.ts
const { tls } = identity;
const answer = encodeAnswer(identity);
const frame = Buffer.concat([Buffer.alloc(5), answer]);
frame.writeUInt32BE(answer.length, 1);

const server = createSecureServer({
  cert: readFileSync(tls.certificate_file),
  key: readFileSync(tls.key_file),
  ca: [tls.service_ca_file, tls.sandbox_ca_file, tls.operator_ca_file].map((file) => readFileSync(file)),
  requestCert: true,
  rejectUnauthorized: true,
});
server.on("stream", (stream) => {
  stream.resume();
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(frame);
  });
});
server.listen(0, "127.0.0.1", () => serveMeasurements((server.address() as { port: number }).port));
