import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** A valid token, with all that an attacker may know or have besides. */
export interface Sample {
  readonly token: string;
  readonly algorithm: "EdDSA" | "ES256";
  /** The key that it verifies with: everybody can read it. */
  readonly publicKey: KeyObject;
  /** Other valid tokens, of this kind and of others. */
  readonly others: readonly string[];
  /** The ids of all published keys. */
  readonly kids: readonly string[];
}

/** Whole numbers from 0 to below `limit`, always the same for the same seed. */
export type Dice = (limit: number) => number;

export function createDice(seed: number): Dice {
  let state = (seed ^ 0x9e3779b9) | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

const attacker = { ed: generateKeyPairSync("ed25519"), ec: generateKeyPairSync("ec", { namedCurve: "P-256" }) };
const p256Order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const ed25519Order = (1n << 252n) + 27742317777372353535851937790883648493n;
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const algorithms = [
  "none",
  "None",
  "NONE",
  "",
  "HS256",
  "HS512",
  "RS256",
  "PS256",
  "ES256",
  "ES384",
  "ES256K",
  "EdDSA",
  "Ed25519",
];
const types = [
  "JWT",
  "at+jwt",
  "sandgate-session+jwt",
  "sandgate-user+jwt",
  "sandgate-bootstrap+jwt",
  "JOSE",
  undefined,
  null,
  7,
];
const spaces = [" ", "\t", "\n", "\r\n", "\0", "\u00a0", "\u200b", "\u2028", "%20", "+"];

/** Ways to make another text of a valid token. Each may by chance make the same one again. */
export const mutations: Readonly<Record<string, (sample: Sample, dice: Dice) => string>> = {
  "one bit flipped": ({ token }, dice) => {
    const bytes = Buffer.from(token, "latin1");
    const index = dice(bytes.length);
    bytes[index] = (bytes[index] ?? 0) ^ (1 << dice(8));
    return bytes.toString("latin1");
  },
  "a bit flipped below the encoding": ({ token }, dice) =>
    editPart(token, dice(3), (bytes) => {
      const index = dice(bytes.length);
      bytes[index] = (bytes[index] ?? 0) ^ (1 << dice(8));
      return bytes;
    }),
  "a character replaced, added, lost or doubled": ({ token }, dice) => {
    const at = dice(token.length);
    const letter = alphabet[dice(64)] ?? "";
    return `${token.slice(0, at)}${pick([letter, letter + token[at], "", `${token[at]}${token[at]}`], dice)}${token.slice(at + 1)}`;
  },
  "two characters swapped": ({ token }, dice) => {
    const at = dice(token.length - 1);
    return `${token.slice(0, at)}${token[at + 1]}${token[at]}${token.slice(at + 2)}`;
  },
  "the case of a letter": ({ token }, dice) => {
    const at = dice(token.length);
    const letter = token[at] ?? "";
    const other = letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase();
    return token.slice(0, at) + other + token.slice(at + 1);
  },
  "cut, or continued": ({ token, others }, dice) =>
    pick(
      [
        token.slice(0, dice(token.length)),
        token.slice(dice(token.length)),
        token + token,
        `${token}.${token}`,
        token + pick(others, dice),
      ],
      dice,
    ),
  "white space, in it or around it": ({ token }, dice) => {
    const at = pick([0, token.length, dice(token.length), token.indexOf("."), token.lastIndexOf(".") + 1], dice);
    return token.slice(0, at) + pick(spaces, dice) + token.slice(at);
  },
  "another spelling of the same bytes": ({ token }, dice) => {
    const parts = token.split(".");
    const index = dice(3);
    const part = parts[index] ?? "";
    const spare = { 2: 16, 3: 4 }[part.length % 4] ?? 1;
    const last = alphabet.indexOf(part.at(-1) ?? "");
    const spareBits = part.slice(0, -1) + alphabet[(last & -spare) | ((last + 1 + dice(spare)) % spare)];
    const standard = part.replaceAll("-", "+").replaceAll("_", "/");
    parts[index] = pick(
      [spareBits, `${part}=`, `${part}==`, standard, encodeURIComponent(`${part}=`), `${part}A`, `=${part}`],
      dice,
    );
    return parts.join(".");
  },
  "JSON written in another way": ({ token }, dice) =>
    editPart(token, dice(2), (bytes) => {
      const text = bytes.toString();
      const escaped = text.replace(/"(\w)/, (_, letter: string) => `"\\u00${letter.charCodeAt(0).toString(16)}`);
      return Buffer.from(
        pick([` ${text}`, `${text}\n`, text.replace(":", ": "), `\ufeff${text}`, escaped, `[${text}]`], dice),
      );
    }),
  "another alg": (sample, dice) => withHeader(sample, dice, { alg: pick(algorithms, dice) }),
  "another kid": (sample, dice) =>
    withHeader(sample, dice, {
      kid: pick([...sample.kids, "", "../../dev/null", "__proto__", "' or 1=1", 7, null, undefined, ["x"]], dice),
    }),
  "another typ": (sample, dice) => withHeader(sample, dice, { typ: pick(types, dice) }),
  "a key, or where to find one": (sample, dice) => {
    const jwk = attacker.ec.publicKey.export({ format: "jwk" });
    const url = "https://attacker.example.test/keys.json";
    return withHeader(
      sample,
      dice,
      pick([{ jwk }, { jku: url }, { x5u: url }, { x5c: ["MIIB"] }, { jwk, kid: undefined }, { jku: url, jwk }], dice),
    );
  },
  "an extension": (sample, dice) =>
    withHeader(
      sample,
      dice,
      pick(
        [
          { crit: [] },
          { crit: ["exp"] },
          { crit: ["b64"], b64: false },
          { b64: false },
          { cty: "JWT" },
          { zip: "DEF" },
          { enc: "A256GCM" },
        ],
        dice,
      ),
    ),
  "an HMAC with the public key": ({ token, publicKey }, dice) => {
    const [header, payload] = token.split(".");
    const name = pick(["sha256", "sha384", "sha512"], dice);
    const spki = publicKey.export({ type: "spki", format: "der" });
    const jwk = publicKey.export({ format: "jwk" });
    const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
    const secret = pick<Buffer | string>(
      [spki, pem, pem.trim(), JSON.stringify(jwk), Buffer.from(jwk.x ?? "", "base64url"), spki.subarray(-65)],
      dice,
    );
    const changed = pick([header, encode({ ...decode(header), alg: `HS${name.slice(3)}` })], dice);
    return `${changed}.${payload}.${createHmac(name, secret).update(`${changed}.${payload}`).digest("base64url")}`;
  },
  "a claim twice": (sample, dice) =>
    editPart(sample.token, dice(2), (bytes) => {
      const text = bytes.toString();
      const [name, value] = pick(Object.entries(JSON.parse(text) as object), dice);
      const member = `${JSON.stringify(name)}:${JSON.stringify(pick([value, "attacker", 9_999_999_999, ["sandgate"], true, null], dice))}`;
      return Buffer.from(pick([`{${member},${text.slice(1)}`, `${text.slice(0, -1)},${member}}`], dice));
    }),
  "a claim changed, added or lost": (sample, dice) =>
    editPart(sample.token, 1, (bytes) => {
      const claims = JSON.parse(bytes.toString()) as Record<string, unknown>;
      const name = pick(
        [...Object.keys(claims), "role", "exp", "aud", "sub", "cnf", "allowed_hosts", "enforce_container_binding"],
        dice,
      );
      const value = claims[name];
      const next =
        typeof value === "number"
          ? value + 1 + dice(1_000_000)
          : pick(["admin", "*", "false", false, 7, null, {}, "sbx-bbbbbbbbbbbbbbbbbbbb"], dice);
      return Buffer.from(JSON.stringify({ ...claims, [name]: pick([next, undefined], dice) }));
    }),
  "audiences as a list": (sample, dice) =>
    editPart(sample.token, 1, (bytes) => {
      const claims = JSON.parse(bytes.toString()) as { aud: string };
      const aud = pick(
        [
          [claims.aud],
          [claims.aud, claims.aud],
          [claims.aud, "attacker"],
          [],
          ["egress-proxy", "sandgate"],
          { 0: claims.aud },
        ],
        dice,
      );
      return Buffer.from(JSON.stringify({ ...claims, aud }));
    }),
  "another form of the signature": ({ token, algorithm }, dice) =>
    editPart(token, 2, (signature) => {
      const order = algorithm === "ES256" ? p256Order : ed25519Order;
      const [first, s] = [signature.subarray(0, 32), signature.subarray(32)];
      if (algorithm === "EdDSA") {
        const value = BigInt(`0x${Buffer.from(s).reverse().toString("hex")}`);
        const times = BigInt(1 + dice(7));
        const more = Buffer.from((value + times * order).toString(16).padStart(64, "0"), "hex").subarray(0, 32);
        return pick(
          [
            Buffer.concat([first, more.reverse()]),
            Buffer.concat([s, first]),
            Buffer.alloc(64),
            signature.subarray(0, 63),
          ],
          dice,
        );
      }
      const value = BigInt(`0x${s.toString("hex")}`);
      const bytesOf = (number: bigint) => Buffer.from(number.toString(16).padStart(64, "0"), "hex").subarray(-32);
      return pick(
        [
          Buffer.concat([first, bytesOf(order - value)]),
          Buffer.concat([bytesOf(order - BigInt(`0x${first.toString("hex")}`)), s]),
          Buffer.concat([s, first]),
          derOf(first, s),
          derOf(first, bytesOf(order - value)),
          Buffer.concat([Buffer.alloc(1), first, Buffer.alloc(1), s]),
          Buffer.alloc(64),
          Buffer.concat([bytesOf(order), bytesOf(order)]),
          Buffer.concat([first, Buffer.alloc(32)]),
          signature.subarray(0, 63),
          Buffer.concat([signature, Buffer.alloc(1 + dice(8))]),
        ],
        dice,
      );
    }),
  "parts of several tokens": ({ token, others }, dice) => {
    const parts = token.split(".");
    parts[dice(3)] = pick(others, dice).split(".")[dice(3)] ?? "";
    return parts.join(".");
  },
  "signed by a key of the attacker": ({ token, algorithm, kids }, dice) => {
    const [header, payload] = token.split(".");
    const own = pick([attacker.ed, attacker.ec], dice);
    const alg = pick([algorithm, own === attacker.ed ? "EdDSA" : "ES256"], dice);
    const over = pick(
      [{}, { alg }, { alg, jwk: own.publicKey.export({ format: "jwk" }) }, { alg, kid: pick(kids, dice) }],
      dice,
    );
    const input = `${encode({ ...decode(header), ...over })}.${pick([payload, encode({ ...decode(payload), role: "admin" })], dice)}`;
    const signature =
      own === attacker.ed
        ? sign(null, Buffer.from(input), own.privateKey)
        : sign("sha256", Buffer.from(input), { key: own.privateKey, dsaEncoding: "ieee-p1363" });
    return `${input}.${signature.toString("base64url")}`;
  },
  "a token in a token": ({ token, others }, dice) => {
    const [header, payload, signature] = token.split(".");
    const inner = Buffer.from(pick([token, ...others], dice)).toString("base64url");
    return pick(
      [
        `${header}.${inner}.${signature}`,
        `${encode({ ...decode(header), cty: "JWT" })}.${inner}.${signature}`,
        `${inner}.${payload}.${signature}`,
        inner,
        `${header}.${encode({ ...decode(payload), jwt: token })}.${signature}`,
      ],
      dice,
    );
  },
  "oversize, or of another serialization": ({ token }, dice) => {
    const [header, payload, signature] = token.split(".");
    const much = "A".repeat(1_000 + dice(20_000));
    return pick(
      [
        `${header}.${encode({ ...decode(payload), pad: much })}.${signature}`,
        `${encode({ ...decode(header), pad: much })}.${payload}.${signature}`,
        `${header}.${payload}.${signature}${much}`,
        token + ".".repeat(much.length),
        JSON.stringify({ protected: header, payload, signature }),
        JSON.stringify({ payload, signatures: [{ protected: header, signature }] }),
        `${header}..${signature}`,
        `${header}.${payload}.`,
        `${header}.${payload}`,
        `.${payload}.${signature}`,
        `Bearer ${token}`,
        `jwt_${token}`,
      ],
      dice,
    );
  },
};

/** Whether two texts differ in nothing but how the same signature, or its twin, is written: what any ECDSA verifier may take. */
export function isRespelledSignature(token: string, mutated: string): boolean {
  return mutated.slice(0, mutated.lastIndexOf(".")) === token.slice(0, token.lastIndexOf("."));
}

function pick<T>(values: readonly T[], dice: Dice): T {
  return values[dice(values.length)] as T; // of no empty list
}

function editPart(token: string, index: number, edit: (bytes: Buffer) => Buffer): string {
  const parts = token.split(".");
  parts[index] = edit(Buffer.from(parts[index] ?? "", "base64url")).toString("base64url");
  return parts.join(".");
}

/** Another header, with the old signature, without one, or with one of the attacker's. */
function withHeader({ token }: Sample, dice: Dice, over: object): string {
  const [header, payload, signature] = token.split(".");
  const input = `${encode({ ...decode(header), ...over })}.${payload}`;
  const own = () => sign("sha256", Buffer.from(input), { key: attacker.ec.privateKey, dsaEncoding: "ieee-p1363" });
  return `${input}.${pick([() => signature, () => "", () => own().toString("base64url")], dice)()}`;
}

function derOf(r: Buffer, s: Buffer): Buffer {
  const integer = (bytes: Buffer) => {
    const positive = (bytes[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes;
    return Buffer.concat([Buffer.from([2, positive.length]), positive]);
  };
  const body = Buffer.concat([integer(r), integer(s)]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string | undefined): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(part ?? "", "base64url").toString());
}
