export { type Call, type CallKey, type Connection, type Step, createCallKey } from "./call.ts";
export { type CallOptions, type Channel, type Client, type ClientMethod, createClient } from "./client.ts";
export { type Handler, type Handlers, type ServiceImplementation, implement } from "./handler.ts";
export { type Reason, ServiceError, describeReason } from "./service-error.ts";
