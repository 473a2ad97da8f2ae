import { readFileSync } from "node:fs";
import type { DescService } from "@bufbuild/protobuf";
import { type Channel, type Client, createClient, createHttp2Channel } from "@sandgate/rpc";
import type { ClientFile, ServiceName } from "./client-file.ts";
import { CommandFailure } from "./command-failure.ts";
import { exitCodes } from "./exit-codes.ts";

/** Connections to a suite's services with the operator's certificate. Services of one process share one. */
export class SuiteConnection {
  readonly file: ClientFile;
  readonly #tls: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly #channels = new Map<string, Channel>();

  constructor(file: ClientFile) {
    this.file = file;
    this.#tls = {
      ca: readCredential(file.serviceCaFile),
      cert: readCredential(file.certificateFile),
      key: readCredential(file.keyFile),
    };
  }

  /** A client of the service. Connects at the first call. */
  client<S extends DescService>(name: ServiceName, service: S): Client<S> {
    const address = this.file.addresses[name];
    let channel = this.#channels.get(address);
    if (channel === undefined) {
      channel = createHttp2Channel({
        address,
        serverName: `${name}.${this.file.trustDomain}`,
        tls: () => this.#tls,
      });
      this.#channels.set(address, channel);
    }
    return createClient(service, channel);
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close();
  }
}

function readCredential(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CommandFailure(
      {
        message: `${path} cannot be read`,
        mend: "run the command as the user that started the suite; `sandgate up` writes what is missing",
        exitCode: exitCodes.usage,
      },
      { cause },
    );
  }
}
