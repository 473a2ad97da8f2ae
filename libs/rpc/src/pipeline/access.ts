import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import {
  type Access,
  access as accessOption,
  Listener,
  PrincipalKind,
  Role,
  SandboxCredential,
} from "@sandgate/api/options";

const known = new WeakMap<DescMethod, Access>();

/**
 * The access option of a method. Throws a TypeError when it is absent or incomplete, so that a server with a method that
 * nobody decided on does not start.
 */
export function readAccess(method: DescMethod): Access {
  let access = known.get(method);
  if (access === undefined) {
    access = checkAccess(method);
    known.set(method, access);
  }
  return access;
}

function checkAccess(method: DescMethod): Access {
  const name = `${method.parent.typeName}.${method.name}`;
  if (!hasOption(method, accessOption)) throw new TypeError(`${name} has no access option`);
  const access = getOption(method, accessOption);
  const faults = [
    access.listeners.length === 0 && "names no listener",
    access.listeners.includes(Listener.UNSPECIFIED) && "names an unspecified listener",
    access.principals.length === 0 && access.peers.length === 0 && "admits nobody",
    access.principals.includes(PrincipalKind.USER) && access.minimumRole === Role.UNSPECIFIED && "has no minimum role",
    access.principals.includes(PrincipalKind.SANDBOX) &&
      access.sandboxCredential === SandboxCredential.UNSPECIFIED &&
      "does not say which sandbox credential it takes",
    access.operatorCertificate &&
      (access.principals.join() !== String(PrincipalKind.USER) || access.peers.length > 0) &&
      "takes operator certificates and others",
    access.sandbox.case === undefined && "does not say which sandbox it is about",
    (access.sandbox.case === "sandboxIdField" || access.sandbox.case === "sandboxNameField") &&
      !hasStringField(method, access.sandbox.value) &&
      "names a sandbox field that the request does not have",
  ].filter((fault) => fault !== false);
  if (faults.length > 0) throw new TypeError(`${name} ${faults.join(" and ")}`);
  return access;
}

function hasStringField(method: DescMethod, name: string): boolean {
  const field = method.input.fields.find((candidate) => candidate.name === name);
  return field?.fieldKind === "scalar" && field.scalar === 9; // ScalarType.STRING
}
