import { createWebServer, FileCertificateStore, ListenError, type Pipeline } from "@sandgate/rpc";
import { ListenersError } from "./listeners-error.ts";

/** Where the web front listens, what it shows there, and the web pages that may call. */
export interface WebSettings {
  readonly addresses: readonly string[];
  readonly allowed_origins: readonly string[];
  readonly tls?: CertificateFiles | undefined;
}

interface CertificateFiles {
  readonly certificate_file: string;
  readonly key_file: string;
}

/** A started web front. */
export interface WebFront {
  readonly addresses: readonly string[];
  /** Certificate and key, which follow their files. */
  readonly certificates: Pick<FileCertificateStore, "reload">;
  stop(graceMs: number): Promise<void>;
}

/**
 * Starts gRPC-Web, Connect and JSON on a pipeline, with the certificate of the settings or else the program's own. Throws
 * ListenersError with all addresses that cannot be had, and when a file cannot be read.
 */
export async function startWebFront(options: {
  readonly settings: WebSettings;
  readonly tls: CertificateFiles;
  readonly pipeline: Pipeline;
  readonly isServing: () => boolean | Promise<boolean>;
  readonly newId: () => string;
  readonly onFault: (fault: unknown) => void;
}): Promise<WebFront> {
  const { settings } = options;
  const tls = settings.tls ?? options.tls;
  const certificates = new FileCertificateStore(
    { caFiles: [], certificateFile: tls.certificate_file, keyFile: tls.key_file },
    { onFault: options.onFault },
  );
  const server = createWebServer({
    pipeline: options.pipeline,
    certificates,
    allowedOrigins: settings.allowed_origins,
    isServing: options.isServing,
    newCallId: options.newId,
    onFault: options.onFault,
  });
  const stop = async (graceMs: number): Promise<void> => {
    await server.stop(graceMs);
    certificates.close();
  };
  const results = await Promise.allSettled(settings.addresses.map((address) => server.bind(address)));
  const faults = results.flatMap((result, index) => {
    if (result.status === "fulfilled") return [];
    if (!(result.reason instanceof ListenError)) throw result.reason;
    return [`web.addresses.${index}: ${result.reason.message}`];
  });
  if (faults.length === 0)
    return {
      addresses: results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])),
      certificates,
      stop,
    };
  await stop(0);
  throw new ListenersError(faults);
}
