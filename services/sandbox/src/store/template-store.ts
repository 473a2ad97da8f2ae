import type { LifecycleEvent, MutationRequest } from "./sandbox-store.ts";

/** A template, as it is kept. */
export interface TemplateRecord {
  readonly organizationId: string;
  readonly name: string;
  /** A sandgate.sandbox.v1.SandboxTemplate with spec, policy and labels, encoded. */
  readonly content: Uint8Array;
  readonly creatorUserId: string;
  readonly createTimeMs: number;
}

/** What handlers do with the templates of an organization. */
export interface TemplateStore {
  /**
   * Keeps a template and the answer to the request. Throws REQUEST_ID_REUSED, TEMPLATE_EXISTS, and LIMIT_REACHED when the organization has as
   * many as it may.
   */
  createTemplate(input: {
    readonly template: TemplateRecord;
    readonly request: MutationRequest;
    readonly answer: Uint8Array;
    readonly event: LifecycleEvent;
  }): Promise<Uint8Array>;
  /** Undefined if the organization has none of this name. */
  findTemplate(organizationId: string, name: string): Promise<TemplateRecord | undefined>;
  /** By name, those after a name. */
  listTemplates(query: {
    readonly organizationId: string;
    /** Empty: from the first. */
    readonly afterName: string;
    readonly limit: number;
  }): Promise<readonly TemplateRecord[]>;
  /** Removes a template and keeps the answer to the request. Throws REQUEST_ID_REUSED, TEMPLATE_NOT_FOUND. */
  deleteTemplate(input: {
    readonly organizationId: string;
    readonly name: string;
    readonly request: MutationRequest;
    readonly answer: Uint8Array;
    readonly event: LifecycleEvent;
    readonly nowMs: number;
  }): Promise<Uint8Array>;
}
