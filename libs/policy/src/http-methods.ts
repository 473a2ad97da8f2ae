/**
 * The methods that a request may have: RFC 9110, PATCH and the WebDAV family. TRACE is left out: it would show a sandbox what others added
 * to its request.
 */
export const httpMethods: ReadonlySet<string> = new Set(
  (
    "GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT QUERY ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK " +
    "LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH REBIND REPORT SEARCH " +
    "UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE VERSION-CONTROL"
  ).split(" "),
);

/** The methods that a rule may name: one that opens a tunnel has no path and is not a rule's to limit. */
export function isRuleMethod(method: string): boolean {
  return method !== "CONNECT" && httpMethods.has(method);
}
