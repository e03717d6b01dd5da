// Writes static/vendor/ and tests/e2e/vendor/ from the exact packages of package-lock.json: one ES module a library,
// its licence beside it, and SHA256SUMS, which `python -m webapp.vendored` checks without Node.
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { build } from "esbuild";
import { seal } from "./seal.mjs";

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

// What a page in the preview may import by these names, with no network: each name is an entry point.
const REACT = ["react", "react/jsx-runtime", "react-dom", "react-dom/client"];
const THREE_ADDONS = [
  ...["controls/FirstPersonControls", "controls/OrbitControls", "controls/PointerLockControls"],
  ...["math/ImprovedNoise", "math/SimplexNoise", "utils/BufferGeometryUtils"],
].map((name) => `three/addons/${name}.js`);
const FOR_PAGES = [
  { name: "react", entries: REACT }, // in one build: both must share one React
  { name: "three", entries: ["three"] },
  { name: "three", entries: THREE_ADDONS, external: ["three"] },
  { name: "chart.js", licence: "LICENSE.md", entries: ["chart.js", "chart.js/auto"] },
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

/** Builds the entry points into one folder of the library; returns their names with the files they are in. */
async function bundleForPages({ name, licence = "LICENSE", entries, external = [] }, folder) {
  const inside = `${name}-${await version(name)}`;
  const target = path.join(folder, inside);
  const file = (entry) => entry.replace(/\.js$/, "").replaceAll("/", "-").replaceAll(".", "-");
  const names = Object.fromEntries(entries.map((entry) => [file(entry), entry]));
  const read = async ({ path: entry }) => ({ contents: await reexport(names[entry]), resolveDir: process.cwd() });
  const entriesOnly = {
    name: "entries",
    setup(builder) {
      builder.onResolve({ filter: /.*/ }, ({ kind, path: asked }) => {
        if (kind === "entry-point") return { path: asked, namespace: "entries" };
        return external.includes(asked) ? { path: asked, external: true } : undefined;
      });
      builder.onLoad({ filter: /.*/, namespace: "entries" }, read);
    },
  };
  await build({
    entryPoints: Object.keys(names),
    outdir: target,
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    define: { "process.env.NODE_ENV": '"production"' },
    legalComments: "none",
    plugins: [entriesOnly],
  });
  await cp(`node_modules/${name}/${licence}`, path.join(target, "LICENSE"));
  return Object.entries(names).map(([built, entry]) => [entry, `${inside}/${built}.js`]);
}

/** A module that exports what the package does; of one in the older form, by the names that it has. */
async function reexport(entry) {
  if (entry === "chart.js/auto") return `export * from "${entry}"; export { default } from "${entry}";`;
  if (!entry.startsWith("react")) return `export * from "${entry}";`;
  const names = Object.keys(createRequire(import.meta.url)(entry)).filter((one) => /^[A-Za-z]\w*$/.test(one) && one !== "default");
  return `import all from "${entry}"; export default all; export const { ${names.join(", ")} } = all;`;
}

/** KaTeX with its style and fonts: woff2 alone, which every browser reads that the site works in. */
async function bundleMaths(folder) {
  await bundle({ name: "katex", licence: "LICENSE", source: 'export { render } from "katex";' }, folder);
  const target = path.join(folder, `katex-${await version("katex")}`);
  const style = await readFile("node_modules/katex/dist/katex.min.css", "utf8");
  await writeFile(path.join(target, "katex.css"), style.replace(/,url\([^)]*\.(?:woff|ttf)\) ?format\("[^"]*"\)/g, ""));
  const isFont = (source) => source.endsWith("fonts") || source.endsWith(".woff2");
  await cp("node_modules/katex/dist/fonts", path.join(target, "fonts"), { recursive: true, filter: isFont });
}

/** uPlot with its style. */
async function bundlePlots(folder) {
  await bundle({ name: "uplot", licence: "LICENSE", source: 'export { default as uPlot } from "uplot";' }, folder);
  await cp("node_modules/uplot/dist/uPlot.min.css", path.join(folder, `uplot-${await version("uplot")}`, "uplot.css"));
}

/** Mermaid as it is published, one classic script: it runs in a frame of its own (chat/stages.py). */
async function bundleDiagrams(folder) {
  const target = path.join(folder, `mermaid-${await version("mermaid")}`);
  await mkdir(target, { recursive: true });
  await cp("node_modules/mermaid/dist/mermaid.min.js", path.join(target, "mermaid.js"));
  await cp("node_modules/mermaid/LICENSE", path.join(target, "LICENSE"));
}

async function vendor() {
  await rm("static/vendor", { recursive: true, force: true });
  for (const library of LIBRARIES) await bundle(library, "static/vendor");
  await bundleMaths("static/vendor");
  await bundlePlots("static/vendor");
  await bundleDiagrams("static/vendor");
  const pages = "static/vendor/preview";
  const names = [];
  for (const library of FOR_PAGES) names.push(...(await bundleForPages(library, pages)));
  await writeFile(path.join(pages, "names.json"), `${JSON.stringify(Object.fromEntries(names.sort()), null, 2)}\n`);
  await seal("static/vendor");

  await rm("tests/e2e/vendor", { recursive: true, force: true });
  const axe = `tests/e2e/vendor/axe-core-${await version("axe-core")}`;
  await mkdir(axe, { recursive: true });
  await cp("node_modules/axe-core/axe.min.js", `${axe}/axe.min.js`);
  await cp("node_modules/axe-core/LICENSE", `${axe}/LICENSE`);
  await seal("tests/e2e/vendor");
}

await vendor();
