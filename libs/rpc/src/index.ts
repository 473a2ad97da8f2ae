export { type Call, type CallKey, type Connection, createCallKey, type Step } from "./call.ts";
export { type CallOptions, type Channel, type Client, type ClientMethod, createClient } from "./client.ts";
export {
  type CertificateFiles,
  type CertificateMaterial,
  CertificateStore,
  type CertificatesInUse,
  FileCertificateStore,
} from "./grpc/certificate-store.ts";
export { createGrpcChannel, type GrpcChannelOptions } from "./grpc/grpc-channel.ts";
export { createGrpcServer, type GrpcServer, type GrpcServerOptions } from "./grpc/grpc-server.ts";
export { clientAddressHeader } from "./grpc/served-call.ts";
export { type Handler, type Handlers, implement, type ServiceImplementation } from "./handler.ts";
export { createHttp2Channel, type Http2Channel, type Http2ChannelOptions } from "./http2/http2-channel.ts";
export { createInProcessChannel } from "./in-process-channel.ts";
export { ListenError } from "./listen-error.ts";
export { healthService, reflectionService } from "./open-services.ts";
export { readAccess } from "./pipeline/access.ts";
export type { CallObserver, CallOutcome } from "./pipeline/observe.ts";
export { maxMessageBytes, Pipeline, type PipelineOptions } from "./pipeline/pipeline.ts";
export { describeReason, type Reason, ServiceError } from "./service-error.ts";
export { decodeStatusDetails } from "./status-details.ts";
export { createWebServer, type WebServer, type WebServerOptions } from "./web/web-server.ts";
