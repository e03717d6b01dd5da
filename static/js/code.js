// What is drawn in an answer once it stands: code, by its tokens in weight and one hue; formulas.

import { lazy } from "./lazy.js";

const maths = lazy(() => import("./maths.js"));
const highlighter = lazy(() => import("../vendor/highlight-11.12.0/index.js"));
const purifier = lazy(() => import("../vendor/dompurify-3.4.18/index.js"));

const LONGEST_HIGHLIGHT = 20_000;
const SPANS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

/** What a block gets once it is whole: its formulas drawn; of code a copy button, its tokens in weight and one hue. */
export function decorate(node) {
  if (node.querySelector("code.math")) void maths().then(({ drawWhenSeen }) => drawWhenSeen(node));
  const blocks = node.matches(".code") ? [node] : node.querySelectorAll(".code");
  for (const block of blocks) {
    const head = block.querySelector(".code__head");
    if (!head || head.querySelector("button")) continue;
    head.append(document.getElementById("copy-template").content.cloneNode(true));
    void highlight(block.querySelector("code"), head.firstElementChild.textContent.toLowerCase());
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
