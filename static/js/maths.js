// Formulas, drawn: KaTeX builds nodes, so that the page's policy on styles holds, and MathML beside them for who listens.
// What it cannot draw, or what could take long, stays TeX. Loaded with the first answer that holds a formula.

import { render } from "../vendor/katex-0.19.1/index.js";
import { clone } from "./words.js";

// A definition can grow without bound, and a reference can lead away.
const REFUSED = /\\(?:[gex]?def|let|futurelet|(?:re)?newcommand|providecommand|global|long|href|url|includegraphics|html[A-Za-z]+)(?![A-Za-z])/;
const LONGEST = 4000;
const MOST_KEPT = 300;
const SETTINGS = { throwOnError: true, trust: false, strict: "ignore", maxExpand: 500, maxSize: 20, output: "htmlAndMathml" };

const drawn = new Map(); // TeX → what it looks like: a live paragraph is drawn again and again

document.head.append(clone("maths-template"));

/** Draw every formula of this element. */
export function draw(element) {
  for (const source of element.querySelectorAll("code.math:not(.math--fault)")) replace(source);
}

/** Draw the formulas of this element as they come near the window. */
export function drawWhenSeen(element) {
  for (const source of element.querySelectorAll("code.math:not(.math--fault)")) coming.observe(source);
}

const coming = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) replace(target);
  },
  { rootMargin: "1000px", scrollMargin: "1000px" }, // the second where the thread scrolls by itself
);

addEventListener("beforeprint", () => draw(document));

function replace(source) {
  coming.unobserve(source);
  const isApart = source.classList.contains("math--apart");
  const picture = pictureOf(source.textContent, isApart);
  if (picture) source.replaceWith(picture.cloneNode(true));
  else source.classList.add("math--fault");
}

function pictureOf(tex, isApart) {
  const key = `${isApart} ${tex}`;
  if (!drawn.has(key)) {
    if (drawn.size >= MOST_KEPT) drawn.delete(drawn.keys().next().value);
    drawn.set(key, make(tex, isApart));
  }
  return drawn.get(key);
}

function make(tex, isApart) {
  if (tex.length > LONGEST || REFUSED.test(tex)) return null;
  const picture = document.createElement("span");
  picture.className = isApart ? "math math--apart" : "math";
  try {
    render(tex, picture, { ...SETTINGS, displayMode: isApart });
  } catch {
    return null; // it is no TeX, or none that KaTeX knows
  }
  return picture;
}

// A selection that is copied holds each formula once, as TeX.
document.addEventListener("copy", (event) => {
  const selection = getSelection();
  if (selection.isCollapsed || !event.clipboardData) return;
  const parts = Array.from({ length: selection.rangeCount }, (_, index) => selection.getRangeAt(index));
  if (!parts.some((range) => range.commonAncestorContainer.nodeType === Node.ELEMENT_NODE && range.cloneContents().querySelector(".katex"))) {
    return;
  }
  const stand = document.createElement("div");
  parts.forEach((range) => stand.append(range.cloneContents()));
  for (const picture of stand.querySelectorAll(".math")) {
    const tex = picture.querySelector("annotation")?.textContent;
    if (tex === undefined) continue;
    const sign = picture.classList.contains("math--apart") ? "$$" : "$";
    picture.replaceChildren(`${sign}${tex}${sign}`);
  }
  stand.className = "copied";
  document.body.append(stand);
  event.clipboardData.setData("text/plain", stand.innerText);
  stand.remove();
  event.preventDefault();
});
