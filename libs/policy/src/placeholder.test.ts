import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { findPlaceholder, newPlaceholder, placeholderBytes } from "./placeholder.ts";

describe("a placeholder", () => {
  it("is found in a text, whole", () => {
    const placeholder = newPlaceholder(randomBytes(placeholderBytes));
    expect(findPlaceholder(placeholder)).toBe(placeholder);
    expect(findPlaceholder(`Bearer ${placeholder}; q=1`)).toBe(placeholder);
  });

  it("that was spoilt is known as one", () => {
    expect(findPlaceholder("Bearer SANDGATE-placeholder-x")).toBe("sandgate-placeholder-");
    expect(findPlaceholder("Bearer sk-abc")).toBeUndefined();
  });
});
