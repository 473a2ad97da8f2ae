import type { AuthService, OperatorCertificate } from "@sandgate/api/auth";
import type { Client } from "@sandgate/rpc";

/** Every operator's certificate of the organization. */
export async function listOperatorCertificates(
  auth: Client<typeof AuthService>,
  signal: AbortSignal,
): Promise<readonly OperatorCertificate[]> {
  const certificates: OperatorCertificate[] = [];
  let pageToken = "";
  do {
    const page = await auth.listOperatorCertificates({ pageSize: 1_000, pageToken }, { signal });
    certificates.push(...page.certificates);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return certificates;
}
