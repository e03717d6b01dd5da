// The conversation's page: joins the composer, the socket and the turns. Which turn hangs where is the server's to say.

import "./app.js";
import { copyFrom } from "./clipboard.js";
import { setClock } from "./clock.js";
import { Composer } from "./composer.js";
import { Attachments, filesOf, sentChips } from "./attachments.js";
import { Connection } from "./connection.js";
import { Drafts } from "./drafts.js";
import { fetchFragment, wake } from "./fragment.js";
import { act, lazy } from "./lazy.js";
import { follow } from "./paint.js";
import { Queueing } from "./queueing.js";
import { walk } from "./runs.js";
import { Stream, uuid } from "./stream.js";
import { TurnView, adorn, prepare } from "./turn.js";
import { clone, say } from "./words.js";

const panel = lazy(() => import("./panel.js"));
const links = lazy(() => import("./links.js"));

const earlier = lazy(() => import("./earlier.js"));

const main = document.getElementById("main");
const scroller = document.getElementById("scroller");
const drafts = new Drafts(document.querySelector(".app").dataset.user);
const thread = () => document.getElementById("thread");

let conversation = main.dataset.conversation;
let live = null; // the TurnView of the turn under way
let pending = null; // what was sent and not yet answered: { command, section, text, base }
let wantsStop = false;

setClock(Number(main.dataset.now));
const attachments = new Attachments(document.getElementById("composer"), { drafts, conversation });
const composer = new Composer(document.getElementById("composer"), { drafts, conversation, attachments });
const scroll = follow(scroller, document.getElementById("jump"));
const stream = new Stream();
const queueing = new Queueing({ composer, attachments, conversationOf: () => conversation, begun: () => void reread() });
walk(scroller);
new Connection(stream, { signIn: main.dataset.signIn });

// ---- sending

function start(command, { text = "", base = null, files = [] } = {}) {
  composer.warn(stream.isOpen ? "" : say("unsent"), { icon: "offline" });
  const section = base ? null : pendingSection(text, files);
  pending = { command: { client_id: uuid(), ...command }, section, text, base, files };
  wantsStop = false;
  composer.isRunning = true;
  drafts.sending(conversation, text, pending.command.client_id);
  stream.start(pending.command);
  stream.retryNow();
  scroll.toEnd();
}

composer.addEventListener("send", ({ detail: { text, files } }) => {
  const { settings } = composer;
  composer.unsent = text; // stays in the draft on the device until the server has it
  composer.input.value = "";
  composer.form.querySelector("#send").disabled = true;
  const ids = files.map(({ id }) => id);
  start({ op: "turn.send", text, conversation: conversation || null, attachments: ids, ...settings }, { text, files });
});

function pendingSection(text, files) {
  main.classList.remove("main--empty");
  const section = clone("turn-template");
  section.querySelector(".bubble").textContent = text;
  if (files.length) {
    const list = clone("sent-files-template");
    list.append(...sentChips(files));
    section.querySelector(".bubble").before(list);
  }
  thread().append(section);
  return section;
}

stream.addEventListener("accepted", ({ detail: { frame, command } }) => {
  if (!pending || pending.command !== command) return;
  const { section: shown, text, base, files } = pending;
  pending = null;
  composer.warn("");
  const section = base ? branchOff(base, text, files) : shown;
  section.dataset.turn = frame.turn;
  section.id = `turn-${frame.turn}`;
  composer.unsent = "";
  drafts.write(conversation, "");
  attachments.forget();
  if (!conversation) adopt(frame.conversation);
  composer.keep();
  watch(section);
  if (wantsStop) stop();
  if ((section.previousElementSibling?.dataset.turn ?? null) !== frame.parent) void reread();
  refreshSidebar();
  scroll.toEnd();
});

/** Another page went on with this conversation meanwhile: show the branch as it is, this turn at its end. */
async function reread() {
  try {
    const branch = await fetchFragment(`/c/${conversation}/thread/`);
    thread().replaceWith(branch);
    wake(branch);
  } catch (error) {
    console.warn("could not load the branch", error); // a reload shows it
  }
}

/** The first message made the conversation: from now on this page is its page. */
function adopt(id) {
  conversation = composer.conversation = attachments.conversation = main.dataset.conversation = id;
  history.pushState(null, "", `/c/${id}/`);
  document.getElementById("new-chat").removeAttribute("aria-current");
  composer.input.placeholder = say("follow_up");
  void fetchFragment(`/c/${id}/head/`).then((head) => {
    document.getElementById("head").replaceWith(head);
    document.title = head.dataset.title;
    wake(head);
  }, () => {}); // the turn's end brings it
}

/** The turn that is edited or answered again makes room, with all after it, for its new version. */
function branchOff(base, text, files) {
  while (base.nextElementSibling) base.nextElementSibling.remove();
  const section = pendingSection(text, files);
  base.remove();
  return section;
}

stream.addEventListener("refused", ({ detail: { frame, command } }) => {
  if (frame.turn && !command) gone(frame);
  if (!pending || pending.command !== command) return;
  takeBack();
  composer.warn(frame.message);
});

/** The turn is no more: its conversation was deleted on another page. */
function gone({ turn, message }) {
  stream.detach(turn);
  if (live?.id !== turn) return;
  live.leave();
  over(live);
  composer.warn(message);
}

/** Nothing came of what was sent: the text is back where it was typed. */
function takeBack() {
  const { section, text, base, files } = pending;
  pending = null;
  composer.unsent = "";
  composer.isRunning = false;
  wantsStop = false;
  section?.remove();
  if (base) {
    composer.keep();
    base.querySelector(".edit button[type=submit]")?.removeAttribute("disabled");
    return;
  }
  if (!thread().childElementCount && !conversation) main.classList.add("main--empty");
  attachments.restore(files);
  composer.write(composer.input.value ? `${text}\n\n${composer.input.value}` : text);
  composer.focus();
}

// ---- following

function watch(section) {
  live?.leave();
  live = new TurnView(section, { onFinished: finished });
  composer.isRunning = true;
  stream.attach(live.id, 0, (frame) => live?.id === frame.turn && live.apply(frame));
}

/** An agent of a turn, opened while it works: its own events, beside those of the turn. */
document.addEventListener("turn-opened", ({ detail: section }) => {
  const view = new TurnView(section, { onFinished: (over) => stream.detach(over.id) });
  stream.attach(view.id, 0, (frame) => view.apply(frame));
});

function finished(view) {
  over(view);
  document.dispatchEvent(new CustomEvent("turn-over", { detail: view.id }));
  queueing.follow();
  refreshHead();
}

function over(view) {
  stream.detach(view.id);
  if (live === view) live = null;
  wantsStop = false;
  composer.isRunning = false;
  refreshSidebar();
}

/** Its title, and how many sources and files there are to look at. */
function refreshHead() {
  if (!conversation) return;
  void fetchFragment(`/c/${conversation}/head/`).then((head) => {
    const shown = document.getElementById("head");
    if (!head || shown.querySelector("[aria-expanded=true]") || shown.textContent === head.textContent) return;
    const focused = shown.contains(document.activeElement) && document.activeElement;
    shown.replaceWith(head);
    document.title = head.dataset.title;
    wake(head);
    if (focused) [...head.querySelectorAll("a, button")].find((one) => one.getAttribute("href") === focused.getAttribute("href"))?.focus();
  }, () => {});
}

const HEAD_MS = 1500; // between two looks while calls end
let headTimer = 0;

document.addEventListener("work-changed", () => {
  headTimer ||= setTimeout(() => {
    headTimer = 0;
    refreshHead();
  }, HEAD_MS);
});

function refreshSidebar() {
  globalThis.htmx.trigger("#conversations", "conversations-changed");
}

// ---- stopping

function stop() {
  if (pending && stream.withdraw(pending.command.client_id)) {
    takeBack();
    composer.warn("");
  } else if (pending || live) {
    wantsStop = true; // of a turn that the server has not named yet: as soon as it does
    if (live) stream.stop(live.id);
    composer.button.setAttribute("aria-label", say("stopping"));
  }
}

composer.addEventListener("stop", stop);
stream.addEventListener("state", ({ detail }) => {
  if (detail.isOpen && wantsStop && live) stream.stop(live.id);
  if (detail.isOpen && !pending) composer.note.querySelector('[href$="#i-offline"]') && composer.warn("");
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const edit = event.target.closest?.(".edit");
  if (edit) closeEdit(edit);
  else if (composer.isRunning) stop();
});

// ---- what can be done with a turn

const ACTIONS = {
  "copy-question": (button, section) => copy(button, section.querySelector(".bubble").textContent),
  "copy-answer": (button, section) => copy(button, section.querySelector("[data-slot=markdown]").value),
  "copy-code": (button) => copy(button, button.closest(".code").querySelector("code").textContent),
  regenerate: (_, section) => {
    if (isBusy()) return;
    start({ op: "turn.regenerate", turn: section.dataset.turn }, { text: section.querySelector(".bubble").textContent, base: section, files: filesOf(section) });
  },
  edit: (_, section) => openEdit(section),
  stop,
  "cancel-edit": (button) => closeEdit(button.closest(".edit")),
};

scroller.addEventListener("click", ({ target }) => {
  const mark = target.closest("[data-goto-step]");
  if (mark) void act(panel, ({ goToStep }) => goToStep(mark.closest(".turn"), mark.dataset.gotoStep));
  const button = target.closest("[data-action]");
  if (button) ACTIONS[button.dataset.action]?.(button, button.closest(".turn"));
});

function isBusy() {
  if (composer.isRunning) composer.warn(say("running"), { icon: "wait" });
  return composer.isRunning;
}

async function copy(button, text) {
  if (!(await copyFrom(button, text))) composer.warn(say("copy_failed"));
}

function openEdit(section) {
  if (isBusy() || section.querySelector(".edit")) return;
  const form = clone("edit-template");
  const field = form.querySelector("textarea");
  field.value = section.querySelector(".bubble").textContent;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sendEdit(section, form, field.value.trim());
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    form.requestSubmit();
  });
  section.querySelector(".ask").append(form);
  field.focus();
}

function sendEdit(section, form, text) {
  if (!text || isBusy()) return;
  form.querySelector("button[type=submit]").disabled = true;
  const place = { conversation, parent: section.dataset.parent || null, is_branch: true };
  composer.unsent = text; // as with every message: a reload before the server has it finds it in the draft
  composer.keep();
  const files = filesOf(section);
  start({ op: "turn.send", text, attachments: files.map(({ id }) => id), ...place, ...composer.settings }, { text, base: section, files });
}

function closeEdit(form) {
  const section = form.closest(".turn");
  form.remove();
  section.querySelector("[data-action=edit]")?.focus();
}

// ---- the panel beside it

// Whether a link tells much is known once its turn is over.
const ASKS = "a.is-long, [data-live] .answer a[href^='http'], [data-live] .answer a[href^='mailto:']";

document.addEventListener("click", (event) => {
  const link = event.target.closest(`a[data-panel], ${ASKS}, a.picture, .answer a[href^='files/']`);
  if (!link) return;
  event.preventDefault();
  if (link.matches(ASKS)) void act(links, ({ ask }) => ask(link));
  else if (link.matches(".picture")) void act(links, ({ enlarge }) => enlarge(link));
  else void act(panel, ({ open, openFile }) => (link.matches("[data-panel]") ? open(link) : openFile(link)));
});

document.addEventListener("present", ({ detail }) => void act(panel, ({ present }) => present(detail)));

/** A picture that cannot be shown says so, in place of the browser's torn leaf. */
function miss(img) {
  void links().then(({ missing }) => missing(img));
}

document.addEventListener("error", ({ target }) => { if (target.matches?.(".answer .picture img")) miss(target); }, true);
for (const img of document.querySelectorAll(".answer .picture img")) if (img.complete && !img.naturalWidth) miss(img);

/** Text for the message box, from the panel. */
document.addEventListener("compose", ({ detail: text }) => {
  composer.write([composer.input.value, text].filter(Boolean).join("\n\n"));
  composer.focus();
});

// ---- examples of the empty page

document.querySelector(".prompts")?.addEventListener("click", ({ target }) => {
  const prompt = target.closest(".prompt");
  if (!prompt) return;
  if (prompt.hasAttribute("data-thinks")) composer.isThinking = true;
  composer.write(prompt.dataset.prompt);
  composer.form.requestSubmit();
});

// ---- what the server had drawn: at the start, and whenever htmx swaps the thread for another branch

function greet() {
  for (const section of thread().querySelectorAll(":scope > .turn")) {
    adorn(section);
    if (section.hasAttribute("data-live")) watch(section);
  }
  if (hasMore()) void earlier().then(({ attend }) => attend());
}

const hasMore = () => thread().querySelector(":scope > .earlier") !== null;

/** The turn that the address names, by a search or a link. */
async function goToNamed() {
  const [, id, source] = /^#turn-([\w-]+)(?:\.(\d+))?$/.exec(location.hash) ?? [];
  if (!id) return;
  const named = () => document.getElementById(`turn-${id}`);
  if (!named() && hasMore()) await (await earlier()).reach(id);
  const pill = source && named()?.querySelector(`.cite[popovertarget="passage-${id}-${source}"]`);
  if (named()) scroll.to(named());
  pill?.scrollIntoView({ block: "center" });
  pill?.focus({ preventScroll: true });
}

// What the browser searches and prints is all of it.
document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || !["f", "p"].includes(key) || !hasMore()) return;
  if (key === "p") event.preventDefault();
  void act(earlier, async ({ reach }) => {
    await reach();
    if (key === "p") print();
  });
});

new MutationObserver(greet).observe(scroller, { childList: true });
addEventListener("popstate", () => location.pathname === (conversation ? `/c/${conversation}/` : "/") || location.reload());
if (new URLSearchParams(location.search).has("long-thinking")) composer.isThinking = true; // a shortcut of the app
greet();
if (!live) queueing.follow();
addEventListener("hashchange", () => void goToNamed());
scroll.toEnd();
void goToNamed();
(globalThis.requestIdleCallback ?? setTimeout)(prepare);
