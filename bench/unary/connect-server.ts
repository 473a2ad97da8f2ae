/** Rival: connect-node without any interceptor, answering the same message to anybody with a certificate. */
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AuthService } from "@sandgate/api/auth";
import { serveMeasurements } from "../server-process.ts";
import { answerTo } from "./answer.ts";
import type { ServerIdentity } from "./bench-identity.ts";

const { tls, sandboxes } = JSON.parse(process.argv[2] ?? "") as ServerIdentity; // written by unary.ts
const [first] = sandboxes;
if (first === undefined) throw new RangeError("there is no sandbox");
const answer = answerTo(first);

const server = createSecureServer(
  {
    cert: readFileSync(tls.certificate_file),
    key: readFileSync(tls.key_file),
    ca: [tls.service_ca_file, tls.sandbox_ca_file, tls.operator_ca_file].map((file) => readFileSync(file)),
    requestCert: true,
    rejectUnauthorized: true,
  },
  connectNodeAdapter({ routes: (router) => router.service(AuthService, { getPrincipal: () => answer }) }),
);
server.listen(0, "127.0.0.1", () => serveMeasurements((server.address() as { port: number }).port));
