/**
 * Rules of our house style that no linter knows. Each reads the syntax of one file.
 * A line is excused by the comment `house-rule <name>: <reason>` on it or on the line above.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import ts from "typescript";

/** A line that breaks a rule. */
export interface Fault {
  readonly rule: string;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

interface Rule {
  readonly name: string;
  readonly message: string;
  appliesTo(file: string): boolean;
  /** Positions in the text that break the rule. */
  find(source: ts.SourceFile): readonly number[];
}

const isTest = (file: string) => /\.(test|contract|fixture)\.ts$|^(test|libs\/testing)\//.test(file);
const isTool = (file: string) => isTest(file) || /^(bench|scripts)\/|^[^/]+\.config\.ts$/.test(file);

const unfinished = /\b(TODO|FIXME)\b/;

/** Every rule. test/architecture/house-rules.test.ts plants violations of each. */
export const rules: readonly Rule[] = [
  {
    name: "environment",
    message: "only libs/config reads the environment: take what you need from the configuration",
    appliesTo: (file) => !isTool(file) && !file.startsWith("libs/config/"),
    find: (source) => nodesWhere(source, readsEnvironment),
  },
  {
    name: "sleep",
    message: "a test does not sleep: wait for the event, or move the fake clock",
    appliesTo: isTest,
    find: (source) => nodesWhere(source, sleeps),
  },
  {
    name: "skip",
    message: "a test that is skipped says why: call skip(reason) of its context",
    appliesTo: isTest,
    find: (source) => nodesWhere(source, skipsWithoutReason),
  },
  {
    name: "mocked-module",
    message:
      "files of these tests share their modules, the next one too: hand the part in, or plant it in test/architecture",
    appliesTo: (file) => isTest(file) && !file.startsWith("test/architecture/"),
    find: (source) => nodesWhere(source, mocksModule),
  },
  {
    name: "file-name",
    message: "a file is named in kebab-case, after the one thing that it exports",
    appliesTo: () => true,
    find: (source) => (isGoodFileName(basename(source.fileName)) ? [] : [0]),
  },
  {
    name: "unfinished",
    message: "nothing is left for later: finish it, or file an issue",
    appliesTo: () => true,
    find: (source) =>
      unfinished.test(source.text)
        ? comments(source)
            .filter(({ text }) => unfinished.test(text))
            .map(({ pos }) => pos)
        : [],
  },
];

/** The faults of one file. Its path is relative to the root of the repository and decides which rules apply. */
export function checkFile(file: string, text: string): readonly Fault[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const lines = text.split("\n");
  return rules
    .filter((rule) => rule.appliesTo(file))
    .flatMap((rule) =>
      rule.find(source).map((position) => {
        const line = source.getLineAndCharacterOfPosition(position).line + 1;
        return { rule: rule.name, file, line, message: rule.message };
      }),
    )
    .filter(({ rule, line }) => {
      const excuse = new RegExp(`// house-rule ${rule}: \\S`);
      return !excuse.test(lines[line - 1] ?? "") && !excuse.test(lines[line - 2] ?? "");
    });
}

/** `process.env` in all its spellings: by dot, by brackets, by destructuring, through globalThis, and imported. */
function readsEnvironment(node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) return node.name.text === "env" && isProcess(node.expression);
  if (ts.isElementAccessExpression(node))
    return (
      isProcess(node.expression) &&
      !(ts.isStringLiteralLike(node.argumentExpression) && node.argumentExpression.text !== "env")
    );
  if (ts.isVariableDeclaration(node) && node.initializer !== undefined && isProcess(node.initializer))
    return !ts.isObjectBindingPattern(node.name) || node.name.elements.some(isEnvironmentElement);
  if (
    ts.isImportDeclaration(node) &&
    ts.isStringLiteral(node.moduleSpecifier) &&
    isProcessModule(node.moduleSpecifier.text)
  ) {
    const bindings = node.importClause?.namedBindings;
    if (node.importClause?.name !== undefined || (bindings !== undefined && ts.isNamespaceImport(bindings)))
      return true;
    return bindings?.elements.some(({ name, propertyName }) => (propertyName ?? name).text === "env") ?? false;
  }
  return false;
}

function isEnvironmentElement({ name, propertyName, dotDotDotToken }: ts.BindingElement): boolean {
  if (dotDotDotToken !== undefined) return true;
  const property = propertyName ?? name;
  return !(ts.isIdentifier(property) || ts.isStringLiteral(property)) || property.text === "env";
}

function isProcess(node: ts.Expression): boolean {
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node) || ts.isNonNullExpression(node))
    return isProcess(node.expression);
  if (ts.isIdentifier(node)) return node.text === "process";
  if (ts.isPropertyAccessExpression(node)) return node.name.text === "process" && isGlobal(node.expression);
  return ts.isElementAccessExpression(node) && isGlobal(node.expression);
}

const isGlobal = (node: ts.Expression) =>
  ts.isIdentifier(node) && (node.text === "globalThis" || node.text === "global");
const isProcessModule = (name: string) => name === "node:process" || name === "process";

/** A promise that settles because time passed, blocking waits, and the timers that make such promises. */
function sleeps(node: ts.Node): boolean {
  if (ts.isImportDeclaration(node))
    return ts.isStringLiteral(node.moduleSpecifier) && /^(node:)?timers\/promises$/.test(node.moduleSpecifier.text);
  if (ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "Promise")
    return isSettledByTimer(node);
  if (!ts.isCallExpression(node)) return false;
  const callee = node.expression.getText();
  if (callee === "Atomics.wait" || callee === "Atomics.waitAsync") return true;
  return (
    /(^|\.)promisify$/.test(callee) && node.arguments.some((argument) => /(^|\.)setTimeout$/.test(argument.getText()))
  );
}

function isSettledByTimer(node: ts.NewExpression): boolean {
  const executor = node.arguments?.[0];
  if (executor === undefined || !(ts.isArrowFunction(executor) || ts.isFunctionExpression(executor))) return false;
  const resolveName = executor.parameters[0]?.name.getText();
  return descendants(executor).some((call) => {
    if (!ts.isCallExpression(call) || !/(^|\.)setTimeout$/.test(call.expression.getText())) return false;
    const callback = call.arguments[0];
    return (
      callback !== undefined && descendants(callback).some((part) => ts.isIdentifier(part) && part.text === resolveName)
    );
  });
}

/** `it.skip`, `describe.skipIf` and the like: they cannot give a reason. */
function skipsWithoutReason(node: ts.Node): boolean {
  if (ts.isCallExpression(node) && /(^|\.)skip$/.test(node.expression.getText()) && !isSuite(node.expression))
    return node.arguments.length === 0;
  return ts.isPropertyAccessExpression(node) && /^(skip|skipIf|runIf|todo)$/.test(node.name.text) && isSuite(node);
}

/** `vi.mock` and its like. */
function mocksModule(node: ts.Node): boolean {
  return ts.isCallExpression(node) && /^(vi|vitest)\.(mock|doMock|resetModules)$/.test(node.expression.getText());
}

const isSuite = (node: ts.Node) => /^(it|test|describe|suite)\b/.test(node.getText());

function isGoodFileName(name: string): boolean {
  const [, stem] = /^(.+?)((\.(test|contract|fixture|config|d))?\.ts)$/.exec(name) ?? [];
  if (stem === undefined || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(stem)) return false;
  return !/^(utils?|helpers?|common|types|misc)$/.test(stem);
}

function descendants(node: ts.Node): readonly ts.Node[] {
  const found: ts.Node[] = [node];
  ts.forEachChild(node, (child) => void found.push(...descendants(child)));
  return found;
}

const nodesWhere = (source: ts.SourceFile, breaks: (node: ts.Node) => boolean) =>
  descendants(source)
    .filter(breaks)
    .map((node) => node.getStart(source));

function comments(source: ts.SourceFile): readonly { pos: number; text: string }[] {
  const found = new Map<number, string>();
  const visit = (node: ts.Node) => {
    for (const { pos, end } of [
      ...(ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? []),
      ...(ts.getTrailingCommentRanges(source.text, node.end) ?? []),
    ])
      found.set(pos, source.text.slice(pos, end));
    node.getChildren(source).forEach(visit);
  };
  visit(source);
  return [...found].map(([pos, text]) => ({ pos, text }));
}

if (import.meta.main) {
  const root = resolve(import.meta.dirname, "..");
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts"], {
    cwd: root,
    encoding: "utf8",
  });
  const files = listed.split("\n").filter((file) => file !== "" && existsSync(join(root, file)));
  const faults = files.flatMap((file) => checkFile(file, readFileSync(join(root, file), "utf8")));
  for (const { file, line, rule, message } of faults) console.error(`${file}:${line} ${rule}: ${message}`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}
