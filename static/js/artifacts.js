// Whole documents in answers, shown beside the conversation: pages and drawings run in a frame without an origin and
// without a network (chat/stages.py), texts are drawn as Markdown. A press opens them, nothing runs by itself.

import { copyFrom } from "./clipboard.js";
import { clone, say } from "./words.js";

const MANY_LINES = 15;
const LOOK_MS = 2000;
const STILL_MS = 6000; // without an answer, the page hangs

const SVG = /^\s*(?:<\?xml[^>]*>\s*)?(?:<!--[\s\S]*?-->\s*)?(?:<!doctype svg[^>]*>\s*)?<svg[\s>]/i;
const PAGE = /^\s*(?:<!--[\s\S]*?-->\s*)?<(?:!doctype html|html)[\s>]/i;
const TITLES = { page: /<title[^>]*>([^<]{1,200})<\/title>|<h1[^>]*>([^<]{1,200})<\/h1>/i, drawing: /<title[^>]*>([^<]{1,200})<\/title>/i, text: /^#\s+(.{1,200})$/m, script: /(?!)/ };
const FILES = { page: ["html", "text/html"], drawing: ["svg", "image/svg+xml"], text: ["md", "text/markdown"], script: ["js", "text/javascript"] };

/** What a code block is as a document of its own, or "". */
function kindOf(language, text) {
  const isLong = text.split("\n").length >= MANY_LINES;
  if (["svg", "xml", "html"].includes(language) && SVG.test(text)) return /<\/svg>\s*$/i.test(text) ? "drawing" : "";
  if (language === "html") return isLong || PAGE.test(text) ? "page" : "";
  if (language === "md" || language === "markdown") return isLong ? "text" : "";
  return /^(?:js|javascript)$/.test(language) && isLong && /\bdocument\./.test(text) && !/\brequire\(/.test(text) ? "script" : "";
}

const all = new Map(); // code block → { kind, name, text }

/** Give the block its button, where it holds a document. */
export function offer(block, language) {
  const text = block.querySelector("code").textContent;
  const kind = kindOf(language, text);
  if (!kind || !document.getElementById("panel") || block.closest("#panel, .call") || block.querySelector("[data-artifact]")) return;
  const found = TITLES[kind].exec(text);
  const name = (found?.[1] ?? found?.[2] ?? "").trim();
  all.set(block, { kind, name, text });
  const button = clone("artifact-button");
  button.addEventListener("click", () => tell("present", { make: () => open(block), from: button }));
  block.querySelector(".code__head .spacer").after(button);
  shown?.renew();
}

/** All versions of a document on the page, oldest first: of the same kind and name. */
function versionsOf({ kind, name }) {
  for (const block of all.keys()) if (!block.isConnected) all.delete(block);
  const same = [...all].filter(([, one]) => one.kind === kind && one.name === name);
  return same.sort(([one], [other]) => (one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
}

let shown = null; // the Shown in the panel

const tell = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));

function open(block) {
  shown?.leave();
  shown = new Shown(block);
  shown.play();
  return shown.content;
}

class Shown {
  #at = 0; // of the versions
  #timer = 0;
  #heardAt = 0;

  constructor(block) {
    this.content = clone("artifact-template");
    this.about = all.get(block);
    this.versions = versionsOf(this.about);
    this.#at = this.versions.findIndex(([one]) => one === block);
    const { kind } = this.about;
    this.name = this.about.name || say(`untitled_${kind}`);
    Object.assign(this.content.dataset, { label: this.name, path: this.name });
    this.find("[data-slot=name]").textContent = this.name;
    this.#listVersions();
    this.#listen();
    this.find("[data-artifact=full]").hidden = !document.fullscreenEnabled;
    this.find("[data-artifact=again]").hidden = kind === "text";
  }

  find = (selector) => this.content.querySelector(selector);

  get text() {
    return this.versions[this.#at][1].text;
  }

  #listen() {
    const on = (name, use) => this.find(`[data-artifact=${name}]`).addEventListener("click", ({ currentTarget }) => void use(currentTarget));
    on("again", () => this.play());
    on("stop", () => this.#stop());
    on("copy", (button) => copyFrom(button, this.text));
    on("save", () => this.#save());
    on("full", () => (document.fullscreenElement ? document.exitFullscreen() : this.content.requestFullscreen()).catch(() => {}));
    this.find("fieldset").addEventListener("change", ({ target }) => this.#turnTo(target.value));
    this.find("select").addEventListener("change", ({ target }) => {
      this.#at = Number(target.value);
      this.play();
    });
    addEventListener("message", this.#hear);
  }

  /** Another version may have come: who looked at the newest goes on with it. */
  renew() {
    if (!this.content.isConnected) return this.leave();
    const isLast = this.#at === this.versions.length - 1;
    const before = this.text;
    this.versions = versionsOf(this.about);
    if (this.versions.length === 0) return this.leave();
    const same = this.versions.findIndex(([, { text }]) => text === before);
    this.#at = isLast || same < 0 ? this.versions.length - 1 : same;
    this.#listVersions();
    if (this.text !== before) this.play();
  }

  #listVersions() {
    const select = this.find("select");
    const last = this.versions.length - 1;
    select.replaceChildren(...this.versions.map((_, at) => new Option(say(at === last ? "version_latest" : "version", { n: at + 1 }), at, false, at === this.#at)));
    select.hidden = last === 0;
  }

  #turnTo(side) {
    this.find("[data-side=preview]").hidden = side !== "preview";
    this.find("[data-side=source]").hidden = side !== "source";
  }

  play() {
    this.#stop();
    this.find("[data-side=source] code").textContent = this.text;
    this.find(".console").hidden = true;
    this.find(".console__lines").replaceChildren();
    if (this.about.kind === "text") this.#write();
    else this.#run();
  }

  #write() {
    const place = clone("artifact-text");
    place.setAttribute("aria-label", this.name);
    this.#place.replaceChildren(place);
    tell("draw-text", { place: place.firstElementChild, text: this.text });
  }

  get #place() {
    return this.find("[data-slot=play]");
  }

  #run() {
    const frame = clone("artifact-frame");
    frame.title = this.name;
    this.#place.replaceChildren(frame);
    this.#heardAt = performance.now();
    this.#timer = setInterval(() => this.#look(frame), LOOK_MS);
  }

  /** What the frame says is only believed to come from it. */
  #hear = ({ source, origin, data }) => {
    const frame = this.find(".preview__frame");
    if (!frame || source !== frame.contentWindow || origin !== "null") return;
    this.#heardAt = performance.now();
    this.find(".artifact__still").hidden = true;
    if (data?.stage === "ready") source.postMessage({ page: pageOf(this.about.kind, this.text) }, "*"); // it has no origin to name
  };

  #look(frame) {
    if (!frame.isConnected) return this.leave();
    frame.contentWindow?.postMessage({ preview: "there?" }, "*");
    if (document.hidden) this.#heardAt = performance.now(); // the browser lets nobody hurry
    this.find(".artifact__still").hidden = performance.now() - this.#heardAt < STILL_MS;
  }

  #stop() {
    clearInterval(this.#timer);
    this.#place.replaceChildren();
    this.find(".artifact__still").hidden = true;
  }

  /** The panel shows something else. */
  leave() {
    this.#stop();
    removeEventListener("message", this.#hear);
    if (shown === this) shown = null;
  }

  #save() {
    const [ending, type] = FILES[this.about.kind];
    const name = this.name.replace(/[^\p{L}\p{N} ._-]/gu, "").trim().slice(0, 80) || "document";
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([this.text], { type })), download: `${name}.${ending}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

/** The whole page that the stage becomes. */
function pageOf(kind, text) {
  if (kind === "drawing") {
    const style = "body{margin:0;min-height:100vh;display:grid;place-items:center}svg{max-width:100%;max-height:100vh}";
    return `<!doctype html><style>${style}</style><body>${text.replace(/^\s*(?:<\?xml[^>]*>\s*)?(?:<!doctype svg[^>]*>)?/i, "")}`;
  }
  if (kind === "script") return `<!doctype html><body><script>${text.replace(/<(?=\/script|!--|script)/gi, "\\x3c")}</script>`;
  return PAGE.test(text) ? text : `<!doctype html>${text}`;
}
