export { fetchJson } from "./fetch-json.ts";
export { parseKeySetUrl } from "./key-set-url.ts";
export { RemoteKeys } from "./remote-keys.ts";
