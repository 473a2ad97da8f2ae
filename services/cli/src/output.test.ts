import { describe, expect, it } from "vitest";
import { createOutput } from "./output.ts";

function streams(isTTY: boolean) {
  const texts = { stdout: "", stderr: "" };
  const stream = (name: "stdout" | "stderr") => ({
    isTTY,
    write: (text: string) => {
      texts[name] += text;
    },
  });
  return { texts, stdout: stream("stdout"), stderr: stream("stderr") };
}

describe("the output of a command", () => {
  it("has colours on a terminal alone, and none where they are not wanted", () => {
    const shown = (isTTY: boolean, color: boolean) =>
      createOutput({ ...streams(isTTY), json: false, color }).colors.red("x");
    expect(shown(true, true)).toBe("\u001b[31mx\u001b[39m");
    expect(shown(false, true)).toBe("x");
    expect(shown(true, false)).toBe("x");
  });

  it("is nothing but JSON with --json", () => {
    const { texts, ...both } = streams(true);
    const output = createOutput({ ...both, json: true, color: true });
    output.line("a line");
    output.note("a note");
    output.progress("progress");
    output.event({ first: 1 });
    output.failure({ message: "broken", exitCode: 1 });
    expect(texts).toEqual({ stdout: '{"first":1}\n{"error":{"message":"broken","exitCode":1}}\n', stderr: "" });
  });

  it("says what failed and how to mend it, without control characters of a sandbox", () => {
    const { texts, ...both } = streams(false);
    createOutput({ ...both, json: false, color: true }).failure({
      message: "no\u001b[2J",
      mend: "try `sandgate up`",
      metadata: { host: "evil\r\n.example" },
      exitCode: 1,
    });
    expect(texts.stderr).toBe("sandgate: no\\x1b[2J (host=evil\\x0d\\n.example)\n  → try `sandgate up`\n");
  });

  it("draws progress on a terminal alone, and clears it before the next line", () => {
    const terminal = streams(true);
    const output = createOutput({ ...terminal, json: false, color: false });
    output.progress("working");
    output.line("done");
    expect(terminal.texts).toEqual({ stdout: "done\n", stderr: "working\r\u001b[K" });
    const pipe = streams(false);
    createOutput({ ...pipe, json: false, color: false }).progress("working");
    expect(pipe.texts.stderr).toBe("");
  });
});
