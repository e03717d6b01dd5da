// Writes static/vendor/ and tests/e2e/vendor/ from the exact packages of package-lock.json: one ES module a library,
// its licence beside it, and SHA256SUMS, which `python -m webapp.vendored` checks without Node.
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";

const LANGUAGES = ["bash", "c", "cpp", "css", "go", "java", "javascript", "json", "markdown", "python", "rust", "sql", "typescript", "xml", "yaml"];

const LIBRARIES = [
  { name: "marked", licence: "LICENSE", source: 'export { Marked } from "marked";' },
  { name: "dompurify", licence: "LICENSE", source: 'export { default as DOMPurify } from "dompurify";' },
  {
    name: "highlight.js",
    licence: "LICENSE",
    source: [
      'import hljs from "highlight.js/lib/core";',
      ...LANGUAGES.map((name) => `import ${name} from "highlight.js/lib/languages/${name}";`),
      ...LANGUAGES.map((name) => `hljs.registerLanguage("${name}", ${name});`),
      "export { hljs };",
    ].join("\n"),
  },
];

const version = async (name) => JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8")).version;

async function bundle({ name, licence, source }, folder) {
  const target = path.join(folder, `${name.replace(".js", "")}-${await version(name)}`);
  await mkdir(target, { recursive: true });
  await build({
    stdin: { contents: source, resolveDir: process.cwd() },
    outfile: path.join(target, "index.js"),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
  });
  await cp(`node_modules/${name}/${licence}`, path.join(target, "LICENSE"));
}

async function files(folder, inside = "") {
  const entries = await readdir(path.join(folder, inside), { withFileTypes: true });
  const found = entries.map((entry) => {
    const name = path.posix.join(inside, entry.name);
    return entry.isDirectory() ? files(folder, name) : [name];
  });
  return (await Promise.all(found)).flat().sort();
}

async function seal(folder) {
  const lines = [];
  for (const name of await files(folder)) {
    const digest = createHash("sha256").update(await readFile(path.join(folder, name))).digest("hex");
    lines.push(`${digest}  ${name}\n`);
  }
  await writeFile(path.join(folder, "SHA256SUMS"), lines.join(""));
}

async function vendor() {
  await rm("static/vendor", { recursive: true, force: true });
  for (const library of LIBRARIES) await bundle(library, "static/vendor");
  await seal("static/vendor");

  await rm("tests/e2e/vendor", { recursive: true, force: true });
  const axe = `tests/e2e/vendor/axe-core-${await version("axe-core")}`;
  await mkdir(axe, { recursive: true });
  await cp("node_modules/axe-core/axe.min.js", `${axe}/axe.min.js`);
  await cp("node_modules/axe-core/LICENSE", `${axe}/LICENSE`);
  await seal("tests/e2e/vendor");
}

await vendor();
