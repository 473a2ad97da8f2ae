import { create } from "@bufbuild/protobuf";
import { type AuthService, ResolveSandboxResponseSchema, ResolveUserResponseSchema } from "@sandgate/api/auth";
import type { SubjectRegister } from "@sandgate/identity";
import type { Client } from "@sandgate/rpc";

/** The register as a client reads it, straight from the store: Auth calls nobody, not even itself. */
export function createOwnRegisterClient(
  store: SubjectRegister,
): Pick<Client<typeof AuthService>, "resolveSandbox" | "resolveUser"> {
  return {
    resolveSandbox: async ({ key }) => {
      const subject =
        key?.case === "sandboxId"
          ? await store.findSandbox(key.value)
          : key?.case === "name"
            ? await store.findSandboxByName(key.value.organizationId ?? "", key.value.name ?? "")
            : undefined;
      return create(ResolveSandboxResponseSchema, subject === undefined ? {} : { subject });
    },
    resolveUser: async ({ userId = "" }) => {
      const subject = await store.findUser(userId);
      return create(ResolveUserResponseSchema, subject === undefined ? {} : { subject });
    },
  };
}
