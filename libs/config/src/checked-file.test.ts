import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSecretFile } from "./checked-file.ts";
import { ConfigError } from "./config-error.ts";
import { Secret } from "./secret.ts";
import { database, toConnectionSettings } from "./sections.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "secret-"));
});
afterAll(() => rmSync(root, { recursive: true }));

function write(name: string, text: string, mode = 0o600): string {
  const path = join(root, name);
  writeFileSync(path, text, { mode });
  return path;
}

test("a secret is read without the newline at its end", () => {
  expect(readSecretFile(write("a", "pass word\n")).reveal()).toBe("pass word");
  expect(readSecretFile(write("b", " x \r\n")).reveal()).toBe(" x ");
});

test("a secret does not show itself", () => {
  const secret = new Secret("hunter2");
  for (const shown of [
    `${secret}`,
    String(secret),
    JSON.stringify({ secret }),
    inspect({ secret }),
    inspect(secret, { showHidden: true }),
  ])
    expect(shown).not.toContain("hunter2");
});

test.each([
  ["missing", () => join(root, "nowhere"), "file is missing"],
  ["empty", () => write("empty", "\n"), "file is empty"],
  ["open to others", () => write("open", "x", 0o644), expect.stringContaining("0644")],
])("a secret file that is %s is named", (_, make, message) => {
  const path = make();
  expect(() => readSecretFile(path)).toThrow(expect.objectContaining({ faults: [{ path, message }] }));
});

test("a database section becomes connection settings", () => {
  expect(toConnectionSettings(database.parse({ host: "/run/x" }))).toEqual({
    host: "/run/x",
    port: 5432,
    database: "sandgate",
    user: "sandgate",
  });
  const url_file = write("url", "postgresql://u:p@db.internal/sandgate\n");
  expect(toConnectionSettings(database.parse({ url_file }))).toEqual({ url: "postgresql://u:p@db.internal/sandgate" });
});

test("a URL of another kind is refused without being shown", () => {
  const url_file = write("mysql", "mysql://u:hunter2@db/x");
  expect(() => toConnectionSettings(database.parse({ url_file }))).toThrow(ConfigError);
  expect(() => toConnectionSettings(database.parse({ url_file }))).not.toThrow(/hunter2/);
});

test("url_file and host exclude each other", () => {
  expect(database.safeParse({ url_file: write("both", "x"), host: "y" }).success).toBe(false);
});
