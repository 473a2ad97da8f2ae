/** What a workload sends in the place of a credential that it never sees. The name is one that `isName` takes. */
export function credentialPlaceholder(name: string): string {
  return `sandgate-credential-${name}`;
}
