// How a run came to its answer, as a picture or a list in place of its steps: the server draws both; here they are opened,
// zoomed and walked through. Loaded when somebody first asks for it.

import { fetchFragment } from "./fragment.js";
import { act, lazy } from "./lazy.js";

const places = lazy(() => import("./places.js"));

const STEP = 1.25; // of the zoom
const SMALLEST = 0.25;
const LARGEST = 3;
const LOOK_MS = 4000; // between two looks at a run under way
const KEPT = "graph-as"; // picture or list, as the reader chose last

/** Show it, or the steps again. */
export async function toggle(button) {
  const section = button.closest(".turn");
  const shown = graphOf(section);
  if (shown) {
    leave(shown);
    return;
  }
  section.querySelector(":scope > .reply > .filtered")?.remove();
  for (const chip of section.querySelectorAll("[data-filter]")) chip.ariaPressed = String(chip.dataset.filter === "");
  const graph = await brought(`/turns/${section.dataset.turn}/picture/`);
  if (graphOf(section)) return;
  section.dataset.filtered = "graph";
  section.querySelector(":scope > .reply > .stepped").before(graph);
  press(section, true);
  wake(graph);
  graph.scrollIntoView({ block: "nearest" });
  if (section.hasAttribute("data-live")) follow(section);
}

const graphOf = (section) => section.querySelector(":scope > .reply > .graph");

function press(section, isShown) {
  for (const one of section.querySelectorAll("[data-graph][aria-pressed]")) one.ariaPressed = String(isShown);
}

function leave(graph) {
  const section = graph.closest(".turn");
  if (section.dataset.filtered === "graph") delete section.dataset.filtered;
  const had = graph.contains(document.activeElement);
  graph.remove();
  press(section, false);
  if (had) section.querySelector("[data-graph]")?.focus({ preventScroll: true });
}

async function brought(address) {
  const graph = await fetchFragment(address);
  await styled(graph.dataset.style);
  return graph;
}

let style = null;

function styled(href) {
  style ??= new Promise((resolve) => {
    const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
    sheet.addEventListener("load", resolve);
    sheet.addEventListener("error", resolve);
    document.head.append(sheet);
  });
  return style;
}

// ---- one graph

function wake(graph) {
  const picture = graph.querySelector("[data-slot=picture]");
  choose(graph, sessionStorage.getItem(KEPT) ?? "picture");
  for (const node of nodesOf(graph)) {
    node.tabIndex = -1;
    node.dataset.text = node.querySelector("title").textContent;
    node.querySelector("title").remove(); // told below the picture, at once and by keyboard, too
  }
  const first = nodesOf(graph)[0];
  if (first) first.tabIndex = 0;
  graph.addEventListener("click", (event) => clicked(graph, event));
  graph.addEventListener("leave", () => leave(graph));
  graph.addEventListener("keydown", (event) => pressed(graph, event));
  picture.addEventListener("focusin", ({ target }) => tell(graph, target.closest(".gnode")));
  picture.addEventListener("mouseover", ({ target }) => tell(graph, target.closest(".gnode")));
  picture.addEventListener("mouseleave", () => tell(graph, picture.contains(document.activeElement) ? document.activeElement : null));
  picture.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // without, it scrolls
    event.preventDefault();
    zoom(graph, Math.exp(-event.deltaY / 300), event);
  }, { passive: false });
  hold(graph, picture);
}

const nodesOf = (graph) => [...graph.querySelectorAll(".gnode")];

function choose(graph, as) {
  graph.querySelector("[data-slot=picture]").hidden = as !== "picture";
  graph.querySelector("[data-slot=told]").hidden = as !== "picture";
  graph.querySelector(".graph__zoom").hidden = as !== "picture";
  graph.querySelector("[data-slot=list]").hidden = as !== "list";
  for (const one of graph.querySelectorAll("[data-graph-as]")) one.ariaPressed = String(one.dataset.graphAs === as);
}

function clicked(graph, event) {
  const { target } = event;
  const as = target.closest("[data-graph-as]");
  const by = target.closest("[data-zoom]");
  const link = target.closest("[data-node]");
  if (as) {
    sessionStorage.setItem(KEPT, as.dataset.graphAs);
    choose(graph, as.dataset.graphAs);
  } else if (by) zoom(graph, { in: STEP, out: 1 / STEP }[by.dataset.zoom] ?? 0);
  else if (target.closest("[data-graph-close]")) leave(graph);
  else if (link && !link.hasAttribute("data-panel")) {
    event.preventDefault();
    if (link.hasAttribute("data-unfold")) void act(async () => graph, () => redraw(graph, link.getAttribute("href"), link.dataset.node));
    else if (link.dataset.goto) void act(places, ({ showSentence }) => goTo(link, showSentence));
  }
}

function goTo({ dataset }, showSentence) {
  const place = document.querySelector(dataset.goto);
  if (place?.matches("details")) place.open = true;
  if (place) showSentence(place, dataset.words);
}

/** The same with other phases open, or as the run stands now; what the reader looks at stays where it is. */
async function redraw(graph, address, focused) {
  const fresh = await brought(address);
  if (!graph.isConnected) return;
  const [shown, drawn] = [graph, fresh].map((one) => one.querySelector("[data-slot=picture]"));
  const [left, top, scale] = [shown.scrollLeft, shown.scrollTop, scaleOf(graph)];
  const had = graph.contains(document.activeElement);
  const inList = !graph.querySelector("[data-slot=list]").hidden;
  graph.replaceWith(fresh);
  wake(fresh);
  if (scale !== 1) scaleTo(fresh, scale);
  drawn.scrollTo(left, top);
  const again = focused && fresh.querySelector(`${inList ? ".graph__list" : ".graph__drawing"} [data-node="${CSS.escape(focused)}"]`);
  if (had && again) move(fresh, again);
}

// ---- a run under way

function follow(section) {
  const timer = setInterval(() => {
    const graph = section.isConnected && graphOf(section);
    if (!graph) clearInterval(timer);
    else void act(async () => graph, () => look(section, graph, timer));
  }, LOOK_MS);
}

async function look(section, graph, timer) {
  const isOver = !section.hasAttribute("data-live");
  const step = section.querySelector(":scope > .reply > .slot .meter__figure b")?.textContent ?? "0";
  const version = isOver ? "done" : String(Math.floor(Number(step) / 10));
  if (isOver) clearInterval(timer);
  if (document.hidden || version === graph.dataset.version) return;
  const opened = graph.dataset.open.split(" ").filter(Boolean).map((first) => `open=${first}`);
  await redraw(graph, `/turns/${section.dataset.turn}/picture/?${opened.join("&")}`, document.activeElement?.dataset?.node);
}

// ---- larger and smaller

const drawingOf = (graph) => graph.querySelector(".graph__drawing");
const scaleOf = (graph) => drawingOf(graph).getAttribute("width") / drawingOf(graph).dataset.width;

/** By this factor, around the mouse or the middle; 0: so that all of it is in sight. */
function zoom(graph, factor, { clientX, clientY } = {}) {
  const picture = graph.querySelector("[data-slot=picture]");
  const before = scaleOf(graph);
  const { width, height } = drawingOf(graph).dataset;
  const all = Math.min(picture.clientWidth / width, picture.clientHeight / height, 1);
  const after = factor ? Math.min(LARGEST, Math.max(SMALLEST, before * factor)) : before === all ? 1 : all;
  const box = picture.getBoundingClientRect();
  const [x, y] = clientX === undefined ? [box.width / 2, box.height / 2] : [clientX - box.left, clientY - box.top];
  const [left, top] = [(picture.scrollLeft + x) / before, (picture.scrollTop + y) / before];
  scaleTo(graph, after);
  picture.scrollTo(left * after - x, top * after - y);
}

function scaleTo(graph, scale) {
  const drawing = drawingOf(graph);
  drawing.setAttribute("width", drawing.dataset.width * scale);
  drawing.setAttribute("height", drawing.dataset.height * scale);
}

/** Held by the mouse it moves; two fingers make it larger. One finger scrolls, as everywhere. */
function hold(graph, picture) {
  const fingers = new Map();
  let held = null;
  picture.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") fingers.set(event.pointerId, event);
    else if (event.button === 0) held = { x: event.clientX, y: event.clientY, left: picture.scrollLeft, top: picture.scrollTop, isMoved: false };
  });
  picture.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) pinch(graph, fingers, event);
    if (!held) return;
    const [x, y] = [event.clientX - held.x, event.clientY - held.y];
    if (!held.isMoved && Math.hypot(x, y) < 4) return;
    if (!held.isMoved) picture.setPointerCapture(event.pointerId);
    held.isMoved = true;
    picture.scrollTo(held.left - x, held.top - y);
  });
  const release = ({ pointerId }) => {
    fingers.delete(pointerId);
    if (held?.isMoved) picture.addEventListener("click", stay, { capture: true, once: true });
    if (held?.isMoved) setTimeout(() => picture.removeEventListener("click", stay, { capture: true }));
    held = null;
  };
  for (const end of ["pointerup", "pointercancel"]) picture.addEventListener(end, release);
  picture.addEventListener("dragstart", (event) => event.preventDefault());
}

function stay(event) {
  event.preventDefault();
  event.stopPropagation();
}

function pinch(graph, fingers, event) {
  const other = [...fingers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
  const before = fingers.get(event.pointerId);
  fingers.set(event.pointerId, event);
  if (!other) return;
  const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  if (apart(before) > 0) zoom(graph, apart(event) / apart(before), { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 });
}

// ---- by keyboard

const KEYS = { "+": STEP, "=": STEP, "-": 1 / STEP, 0: 0 };

function pressed(graph, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    event.preventDefault();
    event.stopPropagation();
    leave(graph);
    return;
  }
  const node = event.target.closest(".gnode");
  if (!node) return;
  const next = ahead(graph, node, event.key);
  if (!next && !(event.key in KEYS)) return;
  event.preventDefault();
  if (next) move(graph, next);
  else zoom(graph, KEYS[event.key]);
}

/** Up and down in a column; left and right along a line, to the nearest at its other end. */
function ahead(graph, node, key) {
  const column = nodesOf(graph).filter((one) => one.dataset.column === node.dataset.column);
  const by = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (by) return column[column.indexOf(node) + by];
  const isAhead = { ArrowRight: true, ArrowLeft: false }[key];
  if (isAhead === undefined) return null;
  const ids = linesAt(graph, node).map(({ dataset }) => (isAhead ? dataset.to : dataset.from)).filter((id) => id !== node.dataset.node);
  const at = node.getBoundingClientRect().top;
  const found = ids.map((id) => nodeOf(graph, id)).filter((one) => one && (isAhead ? one.dataset.column > node.dataset.column : one.dataset.column < node.dataset.column));
  return found.sort((one, other) => Math.abs(one.getBoundingClientRect().top - at) - Math.abs(other.getBoundingClientRect().top - at))[0];
}

function move(graph, next) {
  if (next.matches(".gnode")) for (const one of nodesOf(graph)) one.tabIndex = one === next ? 0 : -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// ---- what leads there, and where it leads

const nodeOf = (graph, id) => graph.querySelector(`.gnode[data-node="${CSS.escape(id)}"]`);
const linesAt = (graph, { dataset: { node } }) => [...graph.querySelectorAll(".gline")].filter(({ dataset }) => dataset.from === node || dataset.to === node);

/** The text of a node, with the lines that meet it and all that led there. */
function tell(graph, node) {
  graph.querySelector("[data-slot=told]").textContent = node?.dataset?.text ?? "";
  const isNode = Boolean(node?.dataset?.node);
  drawingOf(graph).classList.toggle("is-told", isNode);
  const near = new Set(isNode ? trail(graph, node.dataset.node, "to", "from") : []);
  for (const id of isNode ? trail(graph, node.dataset.node, "from", "to") : []) near.add(id);
  for (const one of nodesOf(graph)) one.classList.toggle("is-near", near.has(one.dataset.node));
  for (const line of graph.querySelectorAll(".gline")) line.classList.toggle("is-near", near.has(line.dataset.from) && near.has(line.dataset.to));
}

function trail(graph, start, at, next) {
  const lines = [...graph.querySelectorAll(".gline")];
  const found = new Set([start]);
  for (const id of found) for (const { dataset } of lines) if (dataset[at] === id) found.add(dataset[next]);
  return found;
}
