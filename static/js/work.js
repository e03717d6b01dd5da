// What happens in a turn besides its text and calls: notes, waits, the plan, agents. Loaded when it first happens.
// The server draws all of it; this puts the pieces in place without disturbing what the reader has in hand.

import { now } from "./clock.js";
import { dress, restoreFold } from "./folds.js";
import { fetchFragment, wake } from "./fragment.js";
import { keepInSight } from "./paint.js";
import { announce, clone, say } from "./words.js";

const PARTS = {
  "plan.changed": "plan",
  "agent.started": "agents",
  "agent.finished": "agents",
  "turn.waiting": "waits",
  "turn.resumed": "waits",
  "note.added": "notes",
};
const SETTLE_MS = 60; // eight agents that start at once are one look
const SECONDS_TO_COUNT = 3600;

const wanted = new Map(); // "turn part step" → whether it is to be looked at again

/** An event of this turn's log, other than text and calls. */
export function happened(view, { type, step, kind }) {
  if (kind === "steer") document.dispatchEvent(new Event("steered"));
  const part = PARTS[type];
  if (!part || !view.section.isConnected) return;
  if (part === "notes") place(view, step);
  const seen = look(view, part, part === "notes" ? step : 0);
  if (part === "waits") void seen.then(() => globalThis.htmx.trigger("#conversations", "conversations-changed")); // stored by then
}

const RUN_MS = 3000; // between two looks at how far a turn is
const resting = new Map(); // turn → whether something happened since the last look

/** A step begins, or a call ends: how far the turn is, now and then. */
export function advance(view) {
  if (resting.has(view.id)) {
    resting.set(view.id, true);
    return;
  }
  resting.set(view.id, false);
  if (view.section.hasAttribute("data-live")) {
    void look(view, "run", 0);
    void look(view, "ahead", 0);
  }
  setTimeout(() => {
    const again = resting.get(view.id);
    resting.delete(view.id);
    if (again) advance(view);
  }, RUN_MS);
  if (!ticking) ticking = setInterval(tick, 1000);
}

let ticking = 0;

function tick() {
  const clocks = document.querySelectorAll(".turn[data-live] [data-ticks]");
  for (const clock of clocks) {
    clock.dataset.since ??= String(performance.now());
    const seconds = Math.floor((Number(clock.dataset.elapsed) + performance.now() - clock.dataset.since) / 1000);
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const shown = parts[0] ? parts : parts.slice(1);
    clock.textContent = shown.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
  }
  if (!document.querySelector(".turn[data-live]")) ticking = clearInterval(ticking) ?? 0;
}

/** The notes of a step stand behind it, or behind the fold that it went into. */
function place(view, step) {
  if (view.stepped.querySelector(`[data-notes="${step}"]`)) return;
  const notes = document.createElement("div");
  notes.className = "notes";
  notes.dataset.notes = step;
  let last = view.stepped.querySelector(`[data-step="${step}"]`);
  if (last?.parentElement.closest(".fold--draft, .fold--undone")) last = last.closest(".fold");
  if (last) last.after(notes);
  else view.stepped.prepend(notes);
}

async function look(view, part, step) {
  const key = `${view.id} ${part} ${step}`;
  if (wanted.has(key)) {
    wanted.set(key, true);
    return;
  }
  wanted.set(key, true);
  while (wanted.get(key)) {
    await new Promise((resolve) => { setTimeout(resolve, SETTLE_MS); });
    wanted.set(key, false);
    await draw(view, part, step);
  }
  wanted.delete(key);
}

async function draw(view, part, step) {
  try {
    const fresh = await fetchFragment(`/turns/${view.id}/parts/${part}/?step=${step}`);
    if (part === "notes") drawNotes(view, step, fresh.querySelector("[data-notes]"));
    else patch(slot(view.section, part), fresh);
    attend(view.section);
    keepInSight();
  } catch (error) {
    console.warn("could not load a part of the turn", error); // the turn's end brings it
  }
}

const slot = (section, part) => section.querySelector(`:scope > .reply > .slot[data-slot="${part}"]`);

function drawNotes(view, step, fresh) {
  const shown = view.stepped.querySelector(`[data-notes="${step}"]`);
  if (!shown || !fresh) return;
  shown.replaceWith(fresh);
  fresh.querySelectorAll("details").forEach((fold) => restoreFold(view.id, fold));
  announce(fresh.querySelector(".remark:last-child .remark__title").textContent);
}

/** Bring `shown` to what `fresh` holds, piece by piece: one that the reader has opened or is writing in stays. */
function patch(shown, fresh) {
  const known = new Map([...shown.children].map((piece) => [piece.dataset.key, piece]));
  const pieces = [...fresh.children];
  const keys = pieces.map((piece) => piece.dataset.key);
  for (const piece of pieces) {
    const old = known.get(piece.dataset.key);
    known.delete(piece.dataset.key);
    if (!old) append(shown, piece);
    else if (piece.matches(".crew")) patch(old, piece);
    else if (piece.matches(".run__head")) swapRun(old, piece);
    else if (piece.matches(".lane")) swapHead(old, piece);
    else if (!piece.hasAttribute("data-asks") && !old.contains(document.activeElement)) swap(old, piece);
  }
  for (const gone of known.values()) gone.remove();
  if (shown.matches(".crew")) order(shown, keys);
}

/** Its pieces in the order of these keys: a path moves to the answer that it gave. */
function order(shown, keys) {
  if ([...shown.children].every((piece, place) => piece.dataset.key === keys[place])) return;
  const focused = shown.contains(document.activeElement) && document.activeElement;
  const pieces = new Map([...shown.children].map((piece) => [piece.dataset.key, piece]));
  shown.append(...keys.map((key) => pieces.get(key)).filter(Boolean));
  if (focused) focused.focus({ preventScroll: true });
}

function append(shown, piece) {
  shown.append(piece);
  wake(piece);
  const turn = shown.closest(".turn").dataset.turn;
  for (const fold of [piece, ...piece.querySelectorAll("details")]) if (fold.matches("details[data-fold]")) restoreFold(turn, fold);
}

function swap(old, piece) {
  for (const fold of [old, ...old.querySelectorAll("details")]) {
    if (!fold.open) continue;
    const same = fold === old ? piece : piece.querySelector(`[data-fold="${CSS.escape(fold.dataset.fold)}"]`);
    same?.setAttribute("open", "");
  }
  old.replaceWith(piece);
  wake(piece);
}

function swapRun(old, piece) {
  const had = old.contains(document.activeElement);
  const pressed = old.querySelector("[data-filter][aria-pressed=true]")?.dataset.filter;
  for (const chip of piece.querySelectorAll("[data-filter]")) chip.ariaPressed = String(chip.dataset.filter === (pressed ?? ""));
  const focused = document.activeElement?.dataset?.filter;
  piece.querySelector("[data-graph]").ariaPressed = old.querySelector("[data-graph]").ariaPressed;
  old.replaceWith(piece);
  if (had && focused !== undefined) piece.querySelector(`[data-filter="${focused}"]`)?.focus({ preventScroll: true });
  else if (had) (piece.querySelector("button") ?? document.getElementById("message")).focus({ preventScroll: true });
}

function swapHead(old, piece) {
  old.querySelector("summary").replaceChildren(...piece.querySelector("summary").childNodes);
  old.className = piece.className;
}

/** What a call left: its pictures stand behind it. */
export async function picture(view, call, element) {
  try {
    const fresh = (await fetchFragment(`/turns/${view.id}/figures/?call=${encodeURIComponent(call)}`)).firstElementChild;
    if (fresh && element.isConnected && !element.nextElementSibling?.matches(".figures")) element.after(fresh);
  } catch (error) {
    console.warn("could not load what a call left", error); // the turn's end brings it
  }
}

/** The turn is over: its parts as they ended, and the answer with its citations and doubts. */
export function settle(section, final) {
  section.querySelectorAll(".stepped > [data-phase]").forEach((head) => head.remove()); // nothing is under way
  for (const part of ["run", "plan", "agents", "ahead", "waits"]) patch(slot(section, part), slot(final, part));
  for (const answer of final.querySelectorAll("[data-marked]")) {
    const step = answer.closest("[data-step]").dataset.step;
    section.querySelector(`[data-step="${step}"] > .answer`)?.replaceWith(answer);
  }
  for (const files of final.querySelectorAll(".call__files")) {
    const call = CSS.escape(files.closest(".call").dataset.fold);
    section.querySelector(`[data-fold="${call}"] .call__body`)?.append(files);
  }
  for (const pictures of final.querySelectorAll("[data-figures]")) {
    const call = section.querySelector(`[data-fold="${CSS.escape(`call-${pictures.dataset.figures}`)}"]`);
    if (call && !call.nextElementSibling?.matches(".figures")) call.after(pictures);
  }
  dress(section);
  attend(section);
}

// ---- what waits for the person

const LOOK_AGAIN_MS = 5000; // at agents: how far each is, and whether one of them waits, its own log tells

let title = "";
let rounds = 0;

/** See to the agents that can be opened and the calls that wait, in this part of the page. */
export function attend(section) {
  for (const lane of section.querySelectorAll("[data-agent]:not([data-seen])")) {
    lane.dataset.seen = "";
    lane.addEventListener("toggle", () => lane.open && void open(lane));
    if (lane.open) void open(lane);
  }
  if (!rounds && document.querySelector(".turn[data-live] .lane--live")) rounds = setInterval(lookAgain, LOOK_AGAIN_MS);
  const asks = document.querySelector("[data-asks]");
  if (asks && !title) {
    title = document.title;
    document.title = `${say("for_you")} · ${title}`;
    announce(say("for_you"));
    countDown();
  } else if (!asks && title) {
    document.title = title;
    title = "";
  }
}

function lookAgain() {
  const live = [...document.querySelectorAll(".turn[data-live]")].filter((section) => section.querySelector(".lane--live"));
  if (!live.length) rounds = clearInterval(rounds) ?? 0;
  if (document.hidden) return;
  for (const section of live) {
    const view = { id: section.dataset.turn, section };
    void look(view, "agents", 0).then(() => look(view, "waits", 0));
  }
}

function countDown() {
  const clocks = document.querySelectorAll("[data-until]");
  for (const clock of clocks) {
    const seconds = Math.round((clock.dataset.until - now()) / 1000);
    if (seconds > 0 && seconds < SECONDS_TO_COUNT) {
      const rest = String(seconds % 60).padStart(2, "0");
      clock.textContent = say("left_to_decide", { time: `${Math.floor(seconds / 60)}:${rest}` });
    }
  }
  if (clocks.length) setTimeout(countDown, 1000);
}

document.addEventListener("htmx:after:swap", () => attend(document));

/** An agent's own trace: what is stored of it, and what is still to come. */
async function open(lane) {
  const body = lane.querySelector(".lane__body");
  if (body.querySelector(".turn")) return;
  body.replaceChildren(clone("waiting-template"));
  try {
    const section = await fetchFragment(`/turns/${lane.dataset.agent}/`);
    body.replaceChildren(section);
    wake(section);
    dress(section);
    if (section.hasAttribute("data-live")) document.dispatchEvent(new CustomEvent("turn-opened", { detail: section }));
  } catch {
    body.textContent = say("unfinished");
  }
}
