import { expect, it } from "vitest";
import { findSecretFaults } from "./find-secret-faults.ts";

it.each([
  { API_KEY: "x" },
  { OPENAI_APIKEY: "sk-1" },
  { DB_PASSWORD: "x" },
  { GITHUB_TOKEN_FILE: "x" },
  { aws_secret_access_key: "x" },
  { CERT: "-----BEGIN EC PRIVATE KEY-----\nabc" },
])("takes %j for a secret", (environment) => {
  expect(findSecretFaults(environment, "template.spec.environment")).toMatchObject([
    { field: "template.spec.environment" },
  ]);
});

it.each([
  {},
  { PATH: "/bin", LANG: "C", TOKENIZERS_PARALLELISM: "false", MAX_TOKENS: "100", KEYMAP: "us" },
  { API_KEY: "" },
  { CERT: "-----BEGIN CERTIFICATE-----" },
])("takes nothing in %j for one", (environment) => {
  expect(findSecretFaults(environment, "e")).toEqual([]);
});
