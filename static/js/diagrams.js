// Diagrams in answers. Mermaid cannot work under the page's policy, so it works in a frame without an origin and without
// a network (chat/stages.py), one for all diagrams of the page; what it sends back is shown as a picture, in which
// nothing runs and nothing loads. What cannot be drawn, or takes too long, stays its source.

import { lazy } from "./lazy.js";
import { clone } from "./words.js";

const BEGIN_MS = 60_000; // to fetch the library and read it
const DRAW_MS = 10_000;
const LONGEST = 20_000;
const LARGEST_PICTURE = 4_000_000; // letters of SVG
const MOST_KEPT = 60;
const COLOURS = { bg: "--bg", surface: "--surface", strong: "--surface-strong", text: "--text", muted: "--text-muted", line: "--line-control", accent: "--accent", soft: "--accent-soft" };
const SERIES = ["--data-1", "--data-2", "--data-3", "--data-4"];
// No picture of Mermaid's holds these: what does is none.
const REFUSED = /<!(?:doctype|entity)|<script|<iframe/i;

const template = document.getElementById("diagram-template");
const styled = new Promise((resolve) => {
  const sheet = clone("diagram-style");
  sheet.addEventListener("load", resolve);
  sheet.addEventListener("error", resolve);
  document.head.append(sheet);
});
const drawings = new WeakMap(); // code block → its picture as a file, and what it is called

const library = lazy(async () => {
  const response = await fetch(template.dataset.library);
  if (!response.ok) throw new TypeError(`the library of diagrams: ${response.status}`);
  return response.text();
});

// ---- the frame

let frame = null; // while it lives
let begun = null; // a promise of it, ready to draw
let last = Promise.resolve(); // of the diagrams asked for: one at a time
let numAsked = 0;

/** The next thing that the frame says and that fits; refused when it takes too long. */
function said(element, fits, within) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => end(() => reject(new Error("late"))), within);
    const hear = ({ source, origin, data }) => {
      if (source === element.contentWindow && origin === "null" && typeof data === "object" && data && fits(data)) end(() => resolve(data));
    };
    const end = (then) => {
      clearTimeout(timer);
      removeEventListener("message", hear);
      then();
    };
    addEventListener("message", hear);
  });
}

const post = (element, message) => element.contentWindow?.postMessage(message, "*"); // it has no origin to name

async function begin() {
  const text = await library();
  await styled;
  const element = document.createElement("iframe");
  Object.assign(element, { className: "diagram__stage", tabIndex: -1, ariaHidden: "true", title: "Mermaid" });
  element.setAttribute("sandbox", "allow-scripts");
  element.src = template.dataset.stage;
  frame = element;
  const ready = said(element, ({ stage: word }) => word === "ready", BEGIN_MS);
  document.body.append(element);
  await ready;
  const answer = said(element, ({ stage: word }) => word === "begun", BEGIN_MS);
  post(element, { library: text });
  if (!(await answer).canDraw) throw new Error("the library of diagrams was not taken");
  return element;
}

/** End the frame, whatever it is at: the next diagram gets another. */
function drop() {
  frame?.remove();
  frame = begun = null;
}

async function ask(text) {
  try {
    const element = await (begun ??= begin());
    const id = ++numAsked;
    const answer = said(element, (data) => data.id === id, DRAW_MS);
    post(element, { id, text, ...looks() });
    return checked(await answer);
  } catch (error) {
    drop();
    return { fault: error.message };
  }
}

function checked({ svg, name, kind, fault }) {
  if (typeof svg !== "string" || svg.length > LARGEST_PICTURE || REFUSED.test(svg)) return { fault: String(fault ?? "") };
  return { svg, name: `${name}`.slice(0, 200), kind: `${kind}`.slice(0, 40) };
}

// ---- how it looks

const isDark = () => getComputedStyle(document.documentElement).colorScheme === "dark" || (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);

function looks() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return hex(getComputedStyle(probe).color);
  };
  const colours = Object.fromEntries(Object.entries(COLOURS).map(([word, name]) => [word, colour(name)]));
  colours.data = SERIES.map(colour);
  const font = getComputedStyle(probe).fontFamily;
  probe.remove();
  return { colours, font, isDark: isDark() };
}

const hex = (colour) => `#${colour.match(/\d+/g).slice(0, 3).map((part) => Number(part).toString(16).padStart(2, "0")).join("")}`;

const kept = new Map(); // theme and text → what came of it: what the server draws anew is there at once

function pictureOf(text) {
  const key = `${isDark()} ${text}`;
  if (!kept.has(key)) {
    if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value);
    kept.set(key, (last = last.then(() => ask(text))));
  }
  return kept.get(key);
}

// ---- in the answer

/** Draw the diagram of this code block as it comes near the window. */
export function drawWhenSeen(block) {
  coming.observe(block);
}

const coming = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      coming.unobserve(target);
      void draw(target);
    }
  },
  { rootMargin: "1000px", scrollMargin: "1000px" },
);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.querySelectorAll(".code.diagram").forEach(drawWhenSeen));

async function draw(block) {
  const text = block.querySelector("code").textContent;
  if (text.length > LONGEST || !text.trim()) return;
  const made = await pictureOf(text);
  if (!block.isConnected) return;
  if (!made.svg) return fail(block);
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(made.svg)}`;
  try {
    await picture.decode();
  } catch {
    return fail(block);
  }
  show(block, picture, made);
}

function fail(block) {
  if (block.classList.contains("diagram") || block.querySelector(".diagram__fault")) return;
  block.querySelector(".code__body").before(clone("diagram-fault"));
}

function show(block, picture, { svg, name, kind }) {
  if (!block.classList.contains("diagram")) dress(block);
  const place = block.querySelector(".diagram__picture");
  picture.alt = [place.dataset.name, name || kind].filter(Boolean).join(": ");
  place.replaceChildren(picture);
  drawings.set(block, { svg, name: name || kind });
}

function dress(block) {
  const [tools, place] = template.content.cloneNode(true).children;
  block.querySelector(".code__head .spacer").after(...tools.children);
  block.querySelector(".code__body").before(place);
  block.classList.add("diagram");
  block.querySelector("[data-diagram=source]").addEventListener("click", ({ currentTarget }) => {
    currentTarget.ariaPressed = String(block.classList.toggle("diagram--source"));
  });
  block.querySelector("[data-diagram=svg]").addEventListener("click", () => {
    save(new Blob([drawings.get(block).svg], { type: "image/svg+xml" }), `${fileName(block)}.svg`);
  });
  block.querySelector("[data-diagram=png]").addEventListener("click", () => void savePng(block));
}

const fileName = (block) => drawings.get(block).name.replace(/[^\p{L}\p{N} -]/gu, "").trim().slice(0, 60) || "diagram";

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Twice as fine as on the page, on the ground of the theme. */
async function savePng(block) {
  const picture = block.querySelector(".diagram__picture img");
  const canvas = document.createElement("canvas");
  const scale = Math.min(2, 8000 / Math.max(picture.naturalWidth, picture.naturalHeight));
  canvas.width = picture.naturalWidth * scale;
  canvas.height = picture.naturalHeight * scale;
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(document.body).backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => blob && save(blob, `${fileName(block)}.png`), "image/png");
}
