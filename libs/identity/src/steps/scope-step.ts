import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { SandboxSubject } from "@sandgate/api/auth";
import { type Call, type CallKey, createCallKey, readAccess, ServiceError, type Step } from "@sandgate/rpc";
import { type Principal, principalKey } from "../principal.ts";
import { grantSandboxScope } from "../sandbox-scope.ts";
import type { SubjectRegister } from "../trust/subject-register.ts";

/** What the request named, resolved to an id where that was possible: for the audit of a refusal. */
export const requestedSandboxKey: CallKey<string> = createCallKey("requested sandbox");

const sandboxIdPattern = /^sbx-[a-z2-7]{20}$/;
const sandboxNamePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Makes sure that the call is about a sandbox that the principal may act on, and leaves the handler the proof. It stands
 * last, because only an authorized principal may learn anything about a sandbox: to a sandbox another one and a missing
 * one look the same (G-20, G-23), and so does another organization's to a user (G-25).
 */
export function scopeStep(deps: { readonly register: SubjectRegister }): Step {
  return (call) => {
    const field = sandboxFieldOf(call.method);
    const principal = call.find(principalKey);
    return field === undefined || principal === undefined ? undefined : grant(call, field, principal);
  };

  async function grant(call: Call, field: SandboxField, principal: Principal): Promise<void> {
    const named = sandboxNamedIn(call.request, field.localName);
    const subject = await resolve(named, field.kind, principal, call);
    grantSandboxScope(call, { sandboxId: subject.sandboxId, organizationId: subject.organizationId });
    call.checkLaterMessages((message) => {
      const later = sandboxNamedIn(message, field.localName);
      if (later === "" || later === named || later === subject.sandboxId) return;
      call.set(requestedSandboxKey, printable(later));
      throw notFound();
    });
  }

  async function resolve(
    named: string,
    kind: "id" | "name",
    principal: Principal,
    call: Call,
  ): Promise<SandboxSubject> {
    if (principal.kind === "anonymous") throw new ServiceError("CREDENTIAL_MISSING", "this call needs a credential");
    if (named === "" && principal.kind === "user")
      throw new ServiceError("REQUEST_INVALID", "the request names no sandbox", {
        field: sandboxFieldOf(call.method)?.name ?? "",
      });
    call.set(requestedSandboxKey, printable(named));
    // A sandbox's own id is known without the register; asking it for others would only tell how long that takes.
    if (
      principal.kind === "sandbox" &&
      (kind === "id" || sandboxIdPattern.test(named)) &&
      named !== principal.sandboxId
    )
      throw notFound();
    const subject = await find(named, kind, principal.organizationId);
    if (subject === undefined || subject.organizationId !== principal.organizationId) throw notFound();
    call.set(requestedSandboxKey, subject.sandboxId);
    if (principal.kind === "sandbox" && subject.sandboxId !== principal.sandboxId) throw notFound();
    return subject;
  }

  function find(named: string, kind: "id" | "name", organizationId: string): Promise<SandboxSubject | undefined> {
    if (sandboxIdPattern.test(named)) return deps.register.findSandbox(named);
    if (kind === "name" && sandboxNamePattern.test(named))
      return deps.register.findSandboxByName(organizationId, named);
    return Promise.resolve(undefined);
  }
}

interface SandboxField {
  readonly name: string;
  readonly localName: string;
  readonly kind: "id" | "name";
}

const fields = new WeakMap<DescMethod, SandboxField | null>();

/** Which request field names the sandbox; undefined when the method is about no one sandbox. */
export function sandboxFieldOf(method: DescMethod): SandboxField | undefined {
  let field = fields.get(method);
  if (field === undefined) {
    field = readField(method) ?? null;
    fields.set(method, field);
  }
  return field ?? undefined;
}

function readField(method: DescMethod): SandboxField | undefined {
  const { sandbox } = readAccess(method);
  if (sandbox.case !== "sandboxIdField" && sandbox.case !== "sandboxNameField") return undefined;
  const field = method.input.fields.find((candidate) => candidate.name === sandbox.value);
  if (field === undefined) throw new TypeError(`${method.name} names a sandbox field that its request does not have`);
  return { name: field.name, localName: field.localName, kind: sandbox.case === "sandboxIdField" ? "id" : "name" };
}

function sandboxNamedIn(message: Message, localName: string): string {
  const value = (message as unknown as Record<string, unknown>)[localName]; // readAccess has checked that it is a string
  return typeof value === "string" ? value : "";
}

function printable(named: string): string {
  return sandboxIdPattern.test(named) || sandboxNamePattern.test(named) ? named : "";
}

function notFound(): ServiceError {
  return new ServiceError("SANDBOX_NOT_FOUND", "no such sandbox");
}
