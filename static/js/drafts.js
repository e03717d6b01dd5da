// What was typed and not yet sent, for each person and conversation: on this device with every key, on the server soon
// after, for another device or a browser that lost its own. Of a temporary chat it stays in this tab alone.

import { lazy } from "./lazy.js";

const SOON_MS = 1200;

const key = (user, name) => `${user}:${name}`;
const keeper = lazy(() => import("./draft_keeper.js"));

export class Drafts {
  #timer = 0;
  #waiting = new Set(); // conversations whose drafts the server has not as they are

  constructor(user, form = document.getElementById("composer")) {
    this.user = user;
    this.form = form;
    this.isTemporary = document.querySelector("#main[data-temporary]") !== null;
    this.store = this.isTemporary ? sessionStorage : localStorage;
    this.#takeOver(document.getElementById("main")?.dataset.conversation);
    addEventListener("pagehide", () => this.#push());
    document.addEventListener("visibilitychange", () => document.hidden && this.#push());
    for (const back of ["connected", "signed-in"]) document.addEventListener(back, () => this.#push());
  }

  read(conversation) {
    return this.#load(conversation).text;
  }

  write(conversation, text) {
    const before = this.#load(conversation);
    if (before.text === text && !before.sent) return;
    this.#save(conversation, { ...before, text, isDirty: true, sent: text ? before.sent : undefined });
    this.#later(conversation);
  }

  /** A message with this text and id is on its way: once it is known to have come in, it is no draft any more. */
  sending(conversation, text, id) {
    this.#save(conversation, { ...this.#load(conversation), sent: { text, id } });
  }

  /** The ids of files that were uploaded for the draft. */
  readFiles(conversation) {
    return this.#load(conversation).files;
  }

  writeFiles(conversation, files) {
    this.#save(conversation, { ...this.#load(conversation), files, isDirty: true });
    this.#later(conversation);
  }

  get choices() {
    return load(localStorage, key(this.user, "choices")) ?? {};
  }

  set choices(value) {
    save(localStorage, key(this.user, "choices"), value);
  }

  // ---- for draft_keeper.js

  state(conversation) {
    return this.#load(conversation);
  }

  /** What the server has now; `sent` is what was pushed. Typed since: that stays, and is pushed once more. */
  kept(conversation, { version, text, files }, sent) {
    const now = this.#load(conversation);
    const isSame = now.text === sent.text && now.files.join() === sent.files.join();
    this.#save(conversation, { ...now, base: version, isDirty: !isSame, ...(isSame && { text, files }) });
    if (!isSame) this.#later(conversation);
    else if (text !== sent.text) this.#showMerged(text);
  }

  /** The message that was on its way has come in: its text is no draft. */
  forgetSent(conversation) {
    const { sent, ...rest } = this.#load(conversation);
    if (!sent) return;
    const text = rest.text.startsWith(sent.text) ? rest.text.slice(sent.text.length).trimStart() : rest.text;
    this.#save(conversation, { ...rest, text, isDirty: true });
    this.#showMerged(text);
    this.#later(conversation);
  }

  // ---- its own

  /** The server's draft and this device's, as the page begins. */
  #takeOver(conversation) {
    if (!this.form || this.isTemporary) return;
    const { draft = "", draftVersion = "0", draftFiles = "" } = this.form.dataset;
    const server = { text: draft, version: Number(draftVersion), files: draftFiles.split(" ").filter(Boolean) };
    const own = this.#load(conversation);
    if (!own.isDirty) this.#save(conversation, { ...own, text: server.text, files: server.files, base: server.version });
    else if (own.base !== server.version) {
      const files = [...new Set([...server.files, ...own.files])];
      this.#save(conversation, { ...own, text: joined(server.text, own.text), files, base: server.version });
    }
    if (own.sent) void keeper().then(({ ask }) => ask(this, conversation));
    if (own.isDirty) this.#later(conversation);
  }

  #later(conversation) {
    if (this.isTemporary) return;
    this.#waiting.add(conversation || "");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#push(), SOON_MS);
  }

  #push() {
    clearTimeout(this.#timer);
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    void keeper().then(({ push }) => waiting.forEach((conversation) => push(this, conversation, () => this.#waiting.add(conversation))));
  }

  #showMerged(text) {
    document.dispatchEvent(new CustomEvent("draft-merged", { detail: text }));
  }

  #load(conversation) {
    const found = load(this.store, key(this.user, `draft:${conversation || "new"}`));
    return { text: "", files: [], base: 0, isDirty: false, ...found };
  }

  #save(conversation, state) {
    const isNothing = !state.text && state.files.length === 0 && !state.isDirty && !state.base;
    save(this.store, key(this.user, `draft:${conversation || "new"}`), isNothing ? null : state);
  }
}

/** A text in which both stand, as chat/drafts.py has it. */
function joined(first, second) {
  if (second.includes(first.trim())) return second;
  return first.includes(second.trim()) ? first : `${first}\n\n${second}`;
}

/** Leave nothing of this person behind on the device. */
export function forget(user) {
  for (const store of [localStorage, sessionStorage]) {
    for (const name of Object.keys(store)) if (name.startsWith(`${user}:`)) store.removeItem(name);
  }
}

// A browser that keeps nothing (private, full) still lets people type and send.
function load(store, name) {
  try {
    return JSON.parse(store.getItem(name));
  } catch {
    return null;
  }
}

function save(store, name, value) {
  try {
    if (value === null) store.removeItem(name);
    else store.setItem(name, JSON.stringify(value));
  } catch {
    // nothing is kept here; the server has it soon
  }
}
