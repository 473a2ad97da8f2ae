import { randomBytes } from "node:crypto";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Every sandbox's own files in /etc. */
export const etcFiles: Readonly<Record<string, string>> = {
  passwd:
    "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nsandbox:x:65532:65532:sandbox:/workspace:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  group: "root:x:0:\nsandbox:x:65532:\nnogroup:x:65534:\n",
  hosts: "127.0.0.1 localhost\n::1 localhost\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
};

/** Writes every sandbox's own files of /etc. Answers their directory. */
export async function stageEtc(stateDirectory: string): Promise<string> {
  const directory = join(stateDirectory, "etc");
  await mkdir(directory, { recursive: true, mode: 0o711 });
  for (const [name, text] of Object.entries(etcFiles)) {
    const draft = join(directory, `.${name}.${randomBytes(6).toString("hex")}`);
    await writeFile(draft, text, { mode: 0o644 });
    await rename(draft, join(directory, name));
  }
  return directory;
}
