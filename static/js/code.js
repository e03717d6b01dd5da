// What is drawn in an answer once it stands: code, by its tokens in weight and one hue; formulas.

import { lazy } from "./lazy.js";

const maths = lazy(() => import("./maths.js"));
const highlighter = lazy(() => import("../vendor/highlight-11.12.0/index.js"));
const diagrams = lazy(() => import("./diagrams.js"));
const artifacts = lazy(() => import("./artifacts.js"));
const purifier = lazy(() => import("../vendor/dompurify-3.4.18/index.js"));

const LONGEST_HIGHLIGHT = 20_000;
const DOCUMENTS = /^(?:html|svg|xml|markdown|md|javascript|js)$/; // what may be worth a place of its own
const SPANS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

/** What a block gets once it is whole: its formulas drawn; of code a copy button, its tokens in weight and one hue. */
export function decorate(node) {
  if (node.querySelector("code.math")) void maths().then(({ drawWhenSeen }) => drawWhenSeen(node));
  const blocks = node.matches(".code") ? [node] : node.querySelectorAll(".code");
  for (const block of blocks) {
    const head = block.querySelector(".code__head");
    if (!head || head.querySelector("button")) continue;
    head.append(document.getElementById("copy-template").content.cloneNode(true));
    const language = head.firstElementChild.textContent.toLowerCase();
    void highlight(block.querySelector("code"), language);
    if (language === "mermaid") void diagrams().then(({ drawWhenSeen }) => drawWhenSeen(block));
    if (DOCUMENTS.test(language)) void artifacts().then(({ offer }) => offer(block, language));
  }
}

const KINDS = { keyword: "k", literal: "k", name: "k", string: "s", regexp: "s", number: "n", comment: "c" };

async function highlight(code, language) {
  if (code.childElementCount > 0 || code.textContent.length > LONGEST_HIGHLIGHT || !language) return;
  const [{ hljs }, { DOMPurify }] = await Promise.all([highlighter(), purifier()]);
  if (!hljs.getLanguage(language) || !code.isConnected) return;
  const drawn = DOMPurify.sanitize(hljs.highlight(code.textContent, { language }).value, SPANS);
  for (const span of drawn.querySelectorAll("span")) span.className = KINDS[/hljs-(\w+)/.exec(span.className)?.[1]] ?? "";
  code.replaceChildren(drawn);
}
