/**
 * Where a key set is read from: whoever answers there says which tokens are good. Throws TypeError for a text that is no URL, and unless it is
 * https, or plain http of this machine.
 */
export function parseKeySetUrl(text: string | URL): URL {
  const url = new URL(text);
  const isHere = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isHere))
    throw new TypeError("keys are read over https, or over http from this machine");
  return url;
}
