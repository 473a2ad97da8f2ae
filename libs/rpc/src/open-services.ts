import { create, createRegistry, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "@sandgate/api/google/rpc/error-details";
import { Health, HealthCheckResponse_ServingStatus } from "@sandgate/api/grpc/health";
import {
  ServerReflection,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "@sandgate/api/grpc/reflection";
import { implement, type ServiceImplementation } from "./handler.ts";
import { ServiceError } from "./service-error.ts";

/**
 * grpc.health.v1: SERVING while every check passes. The empty name and every served service's name are known.
 * `Watch` tells the state at once and at every change that it sees, once a second.
 */
export function healthService(options: {
  readonly services: readonly DescService[];
  readonly isServing: () => Promise<boolean> | boolean;
}): ServiceImplementation {
  const known = new Set(["", ...options.services.map((service) => service.typeName)]);
  const statusOf = async (): Promise<HealthCheckResponse_ServingStatus> =>
    (await options.isServing())
      ? HealthCheckResponse_ServingStatus.SERVING
      : HealthCheckResponse_ServingStatus.NOT_SERVING;
  return implement(Health, {
    check: async ({ service }) => {
      if (!known.has(service)) throw new ServiceError("METHOD_NOT_FOUND", "no such service is served here");
      return { status: await statusOf() };
    },
    list: async () => {
      const status = await statusOf();
      return { statuses: Object.fromEntries([...known].map((service) => [service, { status }])) };
    },
    watch: async function* ({ service }, call) {
      let last: HealthCheckResponse_ServingStatus | undefined;
      while (!call.signal.aborted) {
        const status = known.has(service) ? await statusOf() : HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN;
        if (status !== last) yield { status };
        last = status;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(done, 1000).unref();
          call.signal.addEventListener("abort", done, { once: true });
          function done(): void {
            clearTimeout(timer);
            call.signal.removeEventListener("abort", done);
            resolve();
          }
        });
      }
    },
  });
}

/**
 * grpc.reflection.v1 for the given services, for health and for itself, so that grpcurl and buf curl need no .proto files. It
 * serves the descriptors as they were compiled, with our options in them.
 */
export function reflectionService(services: readonly DescService[]): ServiceImplementation {
  const served = [...services, Health, ServerReflection];
  const files = new Map<string, DescFile>();
  const collect = (file: DescFile): void => {
    if (files.has(file.proto.name)) return;
    files.set(file.proto.name, file);
    for (const dependency of file.dependencies) collect(dependency);
  };
  for (const service of served) collect(service.file);
  collect(file_google_rpc_error_details); // clients ask for it to show the details of an error
  const registry = createRegistry(...files.values());
  const extensionsOf = (type: string): number[] => {
    const numbers: number[] = [];
    for (const entry of registry)
      if (entry.kind === "extension" && entry.extendee.typeName === type) numbers.push(entry.number);
    return numbers;
  };
  const fileOfExtension = (type: string, number: number): DescFile | undefined => {
    for (const entry of registry)
      if (entry.kind === "extension" && entry.extendee.typeName === type && entry.number === number) return entry.file;
    return undefined;
  };
  const fileOfSymbol = (symbol: string): DescFile | undefined => {
    // A method is asked for as service.method, a field as message.field: the file is the parent's.
    const parent = symbol.slice(0, Math.max(0, symbol.lastIndexOf(".")));
    return (registry.get(symbol) ?? registry.get(parent))?.file;
  };
  const withFile = (file: DescFile | undefined): ServerReflectionResponse["messageResponse"] => {
    if (file === undefined) return notFound;
    // The file and all that it needs, so that a client asks once.
    const closure = new Set<DescFile>();
    const add = (one: DescFile): void => {
      if (closure.has(one)) return;
      closure.add(one);
      for (const dependency of one.dependencies) add(dependency);
    };
    add(file);
    const fileDescriptorProto = [...closure].map((one) => toBinary(FileDescriptorProtoSchema, one.proto));
    return answer({ case: "fileDescriptorResponse", value: { fileDescriptorProto } });
  };
  return implement(ServerReflection, {
    serverReflectionInfo: async function* (requests) {
      for await (const request of requests) {
        const asked = request.messageRequest;
        let messageResponse: ServerReflectionResponse["messageResponse"];
        switch (asked.case) {
          case "listServices":
            messageResponse = answer({
              case: "listServicesResponse",
              value: { service: served.map((service) => ({ name: service.typeName })) },
            });
            break;
          case "fileByFilename":
            messageResponse = withFile(files.get(asked.value));
            break;
          case "fileContainingSymbol":
            messageResponse = withFile(fileOfSymbol(asked.value));
            break;
          case "fileContainingExtension":
            messageResponse = withFile(fileOfExtension(asked.value.containingType, asked.value.extensionNumber));
            break;
          case "allExtensionNumbersOfType":
            messageResponse = answer({
              case: "allExtensionNumbersResponse",
              value: { baseTypeName: asked.value, extensionNumber: extensionsOf(asked.value) },
            });
            break;
          case undefined:
            throw new ServiceError("REQUEST_INVALID", "the request asks for nothing");
        }
        yield { validHost: request.host, originalRequest: request, messageResponse };
      }
    },
  });
}

function answer(
  messageResponse: NonNullable<Parameters<typeof create<typeof ServerReflectionResponseSchema>>[1]>["messageResponse"],
): ServerReflectionResponse["messageResponse"] {
  return create(ServerReflectionResponseSchema, { ...(messageResponse !== undefined && { messageResponse }) })
    .messageResponse;
}

const notFound = answer({ case: "errorResponse", value: { errorCode: 5, errorMessage: "not found" } });
