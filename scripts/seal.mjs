// SHA256SUMS of a folder, which `python -m webapp.vendored` checks without Node.
import { createHash } from "node:crypto";
import { readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";

async function files(folder, inside = "") {
  const entries = await readdir(path.join(folder, inside), { withFileTypes: true });
  const found = entries.map((entry) => {
    const name = path.posix.join(inside, entry.name);
    return entry.isDirectory() ? files(folder, name) : [name];
  });
  return (await Promise.all(found)).flat().sort();
}

/** Writes the sums of all files in the folder into it. */
export async function seal(folder) {
  const lines = [];
  for (const name of await files(folder)) {
    const digest = createHash("sha256").update(await readFile(path.join(folder, name))).digest("hex");
    lines.push(`${digest}  ${name}\n`);
  }
  await writeFile(path.join(folder, "SHA256SUMS"), lines.join(""));
}
