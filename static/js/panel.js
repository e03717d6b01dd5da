// The panel beside the conversation: files, a preview that runs, sources. Loaded when it is first opened. The server
// draws what stands in it; links with data-panel lead from one to the next.

import { decorate } from "./code.js";
import { dress } from "./folds.js";
import { SignedOut, fetchFragment, wake } from "./fragment.js";
import { lazy } from "./lazy.js";
import { say } from "./words.js";

const markdown = lazy(() => import("./markdown.js"));
const places = lazy(() => import("./places.js"));

const SETTLE_MS = 400; // a step that writes ten files is one look
const MOST_LINES = 100;
const TOKENS = /\/preview\/[^\s/]+\//g; // what a page says of itself goes to the model without them

const panel = document.getElementById("panel");
const app = document.querySelector(".app");
const main = document.getElementById("main");
const isWide = matchMedia("(min-width: 1100px)");

let shown = ""; // the address of what stands in it
let opener = null;

/** Show what the link leads to. */
export async function open(link) {
  const url = new URL(link.getAttribute("href"), location.href); // of a link in a picture, too
  const card = link.closest("[popover]");
  card?.hidePopover();
  if (!panel.contains(link)) opener = card ? document.querySelector(`[popovertarget="${card.id}"]`) : link;
  if (!(await bring(url.pathname + url.search))) return;
  pick(url.hash.slice(1));
}

/** The row of a call: the call itself, with the row marked. */
export async function openCall(row) {
  opener = row;
  const turn = row.closest(".turn").dataset.turn;
  const call = row.parentElement.dataset.fold.replace(/^call-/, "");
  await bring(`/turns/${turn}/call/?call=${encodeURIComponent(call)}`);
}

/** A link of an answer to a file of the conversation. */
export async function openFile(link) {
  opener = link;
  await bring(new URL(link.href).pathname.replace("/files/", "/preview/"));
}

/** What another part of the page makes for it, shaped like what the server draws. */
export async function present({ make, from }) {
  opener = from;
  await styled;
  shown = "";
  put(make());
  show();
  panel.querySelector(".panel__title").focus({ preventScroll: true });
}

document.addEventListener("draw-text", ({ detail: { place, text } }) => {
  void markdown().then(({ render }) => {
    place.replaceChildren(render(text));
    decorate(place);
  });
});

/** Its style sheet, which a page that only talks does without. */
const styled = new Promise((resolve) => {
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: panel.dataset.style });
  sheet.addEventListener("load", resolve);
  sheet.addEventListener("error", resolve);
  document.head.append(sheet);
});

async function bring(address) {
  let content;
  await styled;
  try {
    content = await fetchFragment(address);
  } catch (error) {
    if (error instanceof SignedOut) {
      document.dispatchEvent(new Event("signed-out"));
      return false;
    }
    content = document.createElement("div");
    content.className = "panel__content";
    content.append(document.getElementById("panel-fault").content.cloneNode(true));
  }
  shown = address;
  put(content);
  show();
  content.querySelector(".panel__title")?.focus({ preventScroll: true });
  return true;
}

function put(content) {
  app.dataset.panel = content.dataset.kind ?? "";
  mark(content.dataset);
  panel.replaceChildren(content);
  panel.setAttribute("aria-label", content.dataset.label ?? "");
  dress(content);
  wake(content);
}

/** The row whose call stands in the panel, wherever the conversation shows it. */
function mark({ turn, call }) {
  document.querySelectorAll(".call > summary[aria-current]").forEach((row) => row.removeAttribute("aria-current"));
  if (!call) return;
  const rows = document.querySelectorAll(`[id="turn-${CSS.escape(turn)}"] .call[data-fold="${CSS.escape(`call-${call}`)}"] > summary`);
  rows.forEach((row) => { row.ariaCurrent = "true"; });
  if (isWide.matches) [...rows].find((row) => row.checkVisibility())?.scrollIntoView({ block: "nearest" });
}

function show() {
  panel.hidden = false;
  app.classList.add("has-panel");
  main.inert = !isWide.matches; // over the conversation it takes the keyboard, too
}

function close() {
  panel.hidden = true;
  panel.replaceChildren();
  app.classList.remove("has-panel");
  main.inert = false;
  shown = "";
  unmark();
  mark({});
  if (opener?.isConnected) opener.focus({ preventScroll: true });
  opener = null;
}

isWide.addEventListener("change", () => { if (!panel.hidden) show(); });

panel.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.preventDefault();
  event.stopPropagation();
  close();
});

panel.addEventListener("click", ({ target }) => {
  if (target.closest("[data-close-panel]")) close();
  else if (target.closest("[data-reload]")) void bring(shown);
  else if (target.closest("[data-clear-errors]")) clearConsole();
  else if (target.closest("[data-send-errors]")) sendErrors();
  else if (target.closest("[data-turn-source]")) turnSource(Number(target.closest("[data-turn-source]").dataset.turnSource));
  else if (target.closest("[data-words]")) void cite(target.closest("[data-words]"));
  else if (target.closest("[data-goto]")) goTo(target.closest("[data-goto]").dataset.goto);
});

// ---- files change while a turn works

let timer = 0;

document.addEventListener("work-changed", () => {
  clearTimeout(timer);
  timer = setTimeout(refresh, SETTLE_MS);
});

async function refresh() {
  const content = panel.firstElementChild;
  if (panel.hidden || !content?.dataset.version || content.dataset.version === "done") return;
  const address = shown;
  try {
    const fresh = await fetchFragment(address);
    if (address !== shown || fresh.dataset.version === content.dataset.version) return;
    const top = content.querySelector(".panel__body")?.scrollTop;
    const focused = content.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    for (const fold of content.querySelectorAll("details:not([open])")) {
      fresh.querySelector(`[data-fold="${CSS.escape(fold.dataset.fold)}"]`)?.removeAttribute("open");
    }
    put(fresh);
    if (top) fresh.querySelector(".panel__body").scrollTop = top;
    if (focused) fresh.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  } catch (error) {
    console.warn("could not look at the files again", error); // it stays as it was: the next change looks again
  }
}

// ---- what a page in the frame says. It is hostile: text it is, and no more than so much

addEventListener("message", ({ source, origin, data }) => {
  const frame = panel.querySelector(".preview__frame");
  if (!frame || source !== frame.contentWindow || origin !== "null") return;
  if (data?.preview === "escape" && document.activeElement === frame && !document.fullscreenElement) close();
  if (typeof data?.text !== "string" || !["error", "warn"].includes(data.preview)) return;
  const lines = panel.querySelector(".console__lines");
  if (lines.childElementCount >= MOST_LINES) return;
  const line = document.createElement("li");
  line.className = `console__line console__line--${data.preview}`;
  line.textContent = data.text.slice(0, 2000).replace(TOKENS, "/preview/");
  lines.append(line);
  const box = panel.querySelector(".console");
  box.hidden = false;
  box.querySelector(".console__title").textContent = say("page_faults", { n: lines.childElementCount });
});

function clearConsole() {
  panel.querySelector(".console").hidden = true;
  panel.querySelector(".console__lines").replaceChildren();
}

/** Into the message box, for the person to send: with the name of the page, in a fence longer than any in it. */
function sendErrors() {
  const lines = [...panel.querySelectorAll(".console__line")].slice(0, 20).map((line) => line.textContent);
  const ticks = Math.max(2, ...lines.join("\n").match(/`+/g)?.map((run) => run.length) ?? [0]) + 1;
  const fence = "`".repeat(ticks);
  const path = panel.firstElementChild.dataset.path;
  const text = `${say("mend_this", { path })}\n\n${fence}\n${lines.join("\n")}\n${fence}`;
  if (!isWide.matches) close();
  document.dispatchEvent(new CustomEvent("compose", { detail: text }));
}

// ---- sources

const sources = () => [...panel.querySelectorAll(".source[id]")];

/** Have this source open, in sight, and its pills in the answer marked. */
function pick(id) {
  const source = id && panel.querySelector(`[id="${CSS.escape(id)}"]`);
  if (!source) return;
  for (const one of sources()) one.classList.toggle("is-current", one === source);
  const fold = source.querySelector("details");
  if (fold) fold.open = true;
  source.scrollIntoView({ block: "nearest" });
  unmark();
  const pills = document.querySelectorAll(`.cite[popovertarget="passage-${CSS.escape(source.dataset.of)}-${source.dataset.number}"]`);
  pills.forEach((pill) => pill.classList.add("is-current"));
  if (isWide.matches) pills[0]?.scrollIntoView({ block: "nearest" });
}

/** The sentence that cites the source, marked, with the focus on its pill; Escape leads back to where it was. */
async function cite(place) {
  const answer = document.querySelector(place.dataset.goto);
  if (!answer) return;
  const { showSentence } = await places();
  if (!isWide.matches) close();
  const range = showSentence(answer, place.dataset.words);
  for (const one of panel.querySelectorAll(".source__place")) one.classList.toggle("is-current", one === place);
  const pills = [...answer.querySelectorAll(`.cite[popovertarget$="-${CSS.escape(place.dataset.number)}"]`)];
  const pill = pills.find((one) => range && range.comparePoint(one, 0) === 0) ?? pills.find((one) => range && range.comparePoint(one, 0) > 0) ?? pills[0];
  if (!pill) return;
  pill.focus({ preventScroll: true });
  pill.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !place.checkVisibility() || document.querySelector(".card:popover-open")) return;
    event.preventDefault();
    event.stopPropagation();
    place.focus();
  }, { once: true });
}

function unmark() {
  document.querySelectorAll(".cite.is-current").forEach((pill) => pill.classList.remove("is-current"));
}

function turnSource(by) {
  const all = sources();
  const at = all.findIndex((source) => source.classList.contains("is-current"));
  const next = all[(at + by + all.length) % all.length];
  if (!next) return;
  pick(next.id);
  next.querySelector("summary")?.focus({ preventScroll: true });
}

/** A mark of the strip leads to its step. */
export function goToStep(section, step) {
  goTo(`#${section.id} [data-step='${step}']`);
}

/** The fold that a step went into, when it is not on the page. */
function foldOf(selector) {
  const [turn, step] = [selector.split(" ")[0], Number(/data-step='(\d+)'/.exec(selector)?.[1])];
  return [...document.querySelectorAll(`${turn} [data-fold^="steps-"]`)].find((fold) => {
    const [first, last] = fold.dataset.fold.split("-").slice(1).map(Number);
    return first <= step && step <= last;
  });
}

/** The place in the conversation that a source tells of. */
function goTo(selector) {
  const place = document.querySelector(selector) ?? foldOf(selector);
  if (!place) return;
  if (!isWide.matches && !panel.hidden) close();
  if (place.matches("details")) place.open = true;
  for (let fold = place.closest("details:not([open])"); fold; fold = fold.parentElement.closest("details:not([open])")) fold.open = true;
  place.scrollIntoView({ block: "center" });
  place.classList.add("is-found");
  setTimeout(() => place.classList.remove("is-found"), 2000);
}
