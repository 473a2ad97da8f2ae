import { expect, it } from "vitest";
import { isAcceptableHash } from "./imported-hash.ts";

const tail = "$M01kP2lDItryxsyS3M8kcQ$LwZTVIB70+HyLXVE3hAFBvFevYdJtFV43m+tf7CpECo";
const blowfish = "8x751yOBKpNi/NVa1xNyHu8Q7PslvIVBnG0I15ZULUoBaNvjCDlJi";

it.each([
  [`$argon2id$v=19$m=19456,t=2,p=1${tail}`, true],
  [`$argon2id$v=19$m=65536,t=10,p=4${tail}`, true],
  [`$argon2id$v=19$m=65537,t=2,p=1${tail}`, false],
  [`$argon2id$v=19$m=19456,t=11,p=1${tail}`, false],
  [`$argon2id$v=19$m=19456,t=0,p=1${tail}`, false],
  [`$argon2i$v=19$m=19456,t=2,p=1${tail}`, false],
  [`$argon2id$v=16$m=19456,t=2,p=1${tail}`, false],
  [`$2b$12$${blowfish}`, true],
  [`$2y$04$${blowfish}`, true],
  [`$2b$15$${blowfish}`, false],
  [`$2b$31$${blowfish}`, false],
  [`$2x$12$${blowfish}`, false],
  ["5f4dcc3b5aa765d61d8327deb882cf99", false],
  ["", false],
])("judges %s", (hash, isAcceptable) => {
  expect(isAcceptableHash(hash)).toBe(isAcceptable);
});
