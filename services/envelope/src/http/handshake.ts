import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { envelopeSubprotocol, offeredSubprotocols } from "../tokens/find-token.ts";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/**
 * The answer to a WebSocket handshake (RFC 6455, section 4.2.2), undefined for what is none (E-07). The key may be of any length: M-Lab's own
 * example sends six bytes (E-14); strict: of 16 bytes alone. The subprotocol is chosen only if it is offered (E-13).
 */
export function answerHandshake(
  headers: IncomingHttpHeaders,
  { strictKey }: { readonly strictKey: boolean },
): string | undefined {
  const key = headers["sec-websocket-key"];
  if (strictKey && !/^[+/0-9A-Za-z]{22}==$/.test(key ?? "")) return undefined;
  const isUpgrade = names(headers.connection).includes("upgrade") && names(headers.upgrade).includes("websocket");
  if (!isUpgrade || headers["sec-websocket-version"] !== "13" || !key) return undefined;
  const accept = createHash("sha1").update(`${key}${MAGIC}`).digest("base64");
  return [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept}`,
    ...(offeredSubprotocols(headers).includes(envelopeSubprotocol)
      ? [`Sec-WebSocket-Protocol: ${envelopeSubprotocol}`]
      : []),
    "\r\n",
  ].join("\r\n");
}

function names(list: string | undefined): readonly string[] {
  return (list ?? "").split(",").map((name) => name.trim().toLowerCase());
}

/** A close frame as servers send it, unmasked (RFC 6455, section 5.5.1). */
export function closeFrame(code: 1000 | 1001, reason: string): Buffer {
  const text = Buffer.from(reason);
  const frame = Buffer.alloc(4 + text.length);
  frame[0] = 0x88;
  frame[1] = 2 + text.length;
  frame.writeUInt16BE(code, 2);
  text.copy(frame, 4);
  return frame;
}
