// Writes static/built/ (or the folder that is named): our scripts and styles, a few small files for each page, their
// names made of what they hold; manifest.json, which `webapp/bundles.py` reads; and SHA256SUMS. The sources stay what
// people edit: as long as they are newer than what was built of them, pages are given the sources themselves.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { build, transform } from "esbuild";
import { rollup } from "rollup";
import { seal } from "./seal.mjs";

const PAGES = ["app", "chat", "shared"]; // static/js/NAME.js
const SHEETS = ["chat"]; // static/css/NAME-page.css
// What several pages load at once, and the modules that come later need: one file. They do nothing by themselves.
const COMMON = ["clipboard", "clock", "code", "lazy", "words"];

const minify = {
  name: "minify",
  async renderChunk(code) {
    const made = await transform(code, { minify: true, format: "esm", target: "es2022", sourcemap: true, legalComments: "none" });
    return { code: made.code, map: made.map };
  },
};

/** The file that a module goes into; undefined leaves it to who loads it. A library is a file of its own, which stays. */
function fileOf(id) {
  const library = /static\/vendor\/([a-z]+)-/.exec(id)?.[1];
  return library ?? (COMMON.includes(path.basename(id, ".js")) ? "common" : undefined);
}

async function scripts(folder) {
  const input = Object.fromEntries(PAGES.map((page) => [page, `static/js/${page}.js`]));
  const bundle = await rollup({ input, plugins: [minify], onwarn: ({ message }) => { throw new Error(message); } });
  const { output } = await bundle.generate({
    format: "es",
    entryFileNames: "[name].[hash].js",
    chunkFileNames: "[name].[hash].js",
    hashCharacters: "hex",
    sourcemap: true,
    sourcemapPathTransform: (source) => source.replace(/^.*static\//, "../"),
    manualChunks: fileOf,
  });
  const made = {};
  for (const chunk of output.filter(({ type }) => type === "chunk")) {
    const isLibrary = chunk.moduleIds.every((id) => id.includes("/vendor/"));
    const tail = isLibrary ? "" : `//# sourceMappingURL=${chunk.fileName}.map\n`;
    await writeFile(path.join(folder, chunk.fileName), chunk.code.replace(/\/\/# sourceMappingURL=.*\n?$/, "") + tail);
    if (!isLibrary) await writeFile(path.join(folder, `${chunk.fileName}.map`), JSON.stringify(chunk.map));
    if (chunk.isEntry) made[`${chunk.name}.js`] = [chunk.fileName, ...chunk.imports];
  }
  return made;
}

async function sheets(folder) {
  const made = {};
  for (const page of SHEETS) {
    const { outputFiles } = await build({ entryPoints: [`static/css/${page}-page.css`], bundle: true, minify: true, write: false, target: "es2022" });
    const name = `${page}.${digest(outputFiles[0].contents).slice(0, 8)}.css`;
    await writeFile(path.join(folder, name), outputFiles[0].contents);
    made[`${page}.css`] = [name];
  }
  return made;
}

const digest = (content) => createHash("sha256").update(content).digest("hex");

/** One digest of all that the build reads; `webapp/bundles.py` makes the same. */
async function sources() {
  const folders = { "static/js": ".js", "static/css": ".css" };
  const files = ["package-lock.json", "scripts/bundle.mjs", "static/vendor/SHA256SUMS"];
  for (const [folder, suffix] of Object.entries(folders)) {
    files.push(...(await readdir(folder)).filter((name) => name.endsWith(suffix)).map((name) => `${folder}/${name}`));
  }
  const lines = await Promise.all(files.sort().map(async (file) => `${digest(await readFile(file))}  ${file}\n`));
  return digest(lines.join(""));
}

const folder = process.argv[2] ?? "static/built";
const madeOf = await sources();
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
const pages = { ...(await scripts(folder)), ...(await sheets(folder)) };
await writeFile(path.join(folder, "manifest.json"), `${JSON.stringify({ sources: madeOf, pages }, null, 2)}\n`);
await seal(folder);
