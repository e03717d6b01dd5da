// The palette: chats by what they contain, and commands; loaded when it is first asked for. The focus stays in the
// field, the arrows choose, Enter does it.

import { fetchFragment, SignedOut } from "./fragment.js";
import { Unserved } from "./lazy.js";

const WAIT_MS = 120; // after the last letter
const layer = document.getElementById("layer");

export async function open() {
  await show("/search/palette/", (dialog) => new Palette(dialog));
}

export async function openKeys() {
  await show("/search/keys/", () => {});
}

/** Put a dialog into the layer, where app.js opens it; when it closes, the focus is where it was. */
async function show(url, begin) {
  const before = document.activeElement;
  const [dialog] = await orReload(Promise.all([fetchFragment(url), styled()]));
  if (document.querySelector("dialog[open]")) return;
  dialog.addEventListener("close", () => before?.focus?.({ preventScroll: true }));
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  layer.append(dialog);
  begin(dialog);
}

/** Signed out meanwhile: the page itself leads to the sign-in. */
async function orReload(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof SignedOut) location.reload();
    throw error;
  }
}

/** The palette's style comes with its first use. */
function styled() {
  if (document.querySelector('link[href*="css/search"]')) return null;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = document.querySelector(".app").dataset.searchStyle;
  const loaded = new Promise((done) => link.addEventListener("load", done, { once: true }));
  document.head.append(link);
  return loaded;
}

class Palette {
  constructor(dialog) {
    this.dialog = dialog;
    this.field = dialog.querySelector("input");
    this.list = dialog.querySelector("[role=listbox]");
    this.hits = dialog.querySelector("[data-slot=hits]");
    this.none = dialog.querySelector("[data-slot=none]");
    dialog.querySelector("[data-do=think]").hidden = !thinking();
    this.field.addEventListener("input", () => this.#typed());
    dialog.addEventListener("keydown", (event) => this.#pressed(event));
    this.list.addEventListener("click", (event) => this.#clicked(event));
    this.list.addEventListener("mousemove", ({ target }) => this.#choose(target.closest(".hit"), { scrolls: false }));
    void this.#search();
  }

  get options() {
    return [...this.list.querySelectorAll(".hit:not([hidden])")];
  }

  #typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.#search(), WAIT_MS);
  }

  async #search() {
    const words = this.field.value.trim();
    this.#filter(words.toLowerCase());
    let hits;
    try {
      hits = await orReload(fetchFragment(`${this.dialog.dataset.hits}?q=${encodeURIComponent(words)}`));
    } catch (error) {
      if (error instanceof Unserved) return; // the next letter asks again
      throw error;
    }
    if (words !== this.field.value.trim()) return; // a later one is under way
    this.hits.replaceChildren(hits);
    this.none.hidden = this.options.length > 0;
    this.none.textContent = this.none.hidden ? "" : this.none.dataset.none;
    this.#choose(this.options[0]);
  }

  /** The commands whose name has all the words; the one that takes them along is always there. */
  #filter(words) {
    const parts = words.split(/\s+/);
    for (const action of this.list.querySelectorAll("[data-slot=actions] .hit")) {
      const name = action.textContent.toLowerCase();
      const isApt = action.hasAttribute("data-takes-words") || parts.every((part) => name.includes(part));
      action.hidden = !isApt || (action.dataset.do === "think" && !thinking());
      if (action.hasAttribute("data-takes-words")) action.search = words ? `?q=${encodeURIComponent(this.field.value.trim())}` : "";
    }
  }

  #choose(option, { scrolls = true } = {}) {
    if (!option || option === this.chosen) return;
    this.chosen?.setAttribute("aria-selected", "false");
    this.chosen = option;
    option.setAttribute("aria-selected", "true");
    this.field.setAttribute("aria-activedescendant", option.id);
    if (scrolls) option.scrollIntoView({ block: "nearest" });
  }

  #pressed(event) {
    if (event.isComposing || event.keyCode === 229) return;
    const { options } = this;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.#choose(options.at((options.indexOf(this.chosen) + step) % options.length));
    } else if (event.key === "Enter" && event.target === this.field) {
      event.preventDefault();
      if (options.includes(this.chosen)) this.chosen.click();
    }
  }

  #clicked(event) {
    const option = event.target.closest(".hit");
    if (!option) return;
    if (option.dataset.do) void this.#does(option.dataset);
    else if (!event.ctrlKey && !event.metaKey) this.#leave();
  }

  /** A link to this very page with another place in it does not leave it. */
  #leave() {
    setTimeout(() => this.dialog.close());
  }

  async #does({ do: action, value }) {
    this.dialog.close();
    if (action === "think") thinking().click();
    if (action === "keys") await openKeys();
    if (action === "theme") await this.#keep({ theme: value });
    if (action === "language") {
      await this.#keep({ language: value });
      location.reload();
    }
  }

  /** As on the page of the settings, for every device. */
  async #keep(changes) {
    const form = this.dialog.querySelector("[data-appearance]");
    const body = new URLSearchParams(new FormData(form));
    for (const [name, value] of Object.entries(changes)) body.set(name, value);
    const response = await fetch(form.action, { method: "POST", body, credentials: "same-origin" });
    if (!response.ok) throw new Error(`the settings answered ${response.status}`);
    if (changes.theme === "system") delete document.documentElement.dataset.theme;
    else if (changes.theme) document.documentElement.dataset.theme = changes.theme;
  }
}

/** The switch of the message box, where it is offered. */
const thinking = () => document.querySelector("#long:not([hidden]) #long-thinking");
