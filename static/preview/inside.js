// Runs in a previewed page before the page's own scripts: tells the panel around the frame what goes wrong, and stands
// in for what an opaque origin has not. Classic script; the page is hostile and may undo all of this: nothing rests on it.

(() => {
  "use strict";
  const parent = window.parent;
  const home = location.origin;
  const LONGEST = 2000;
  const MOST = 100;
  let told = 0;

  /** Addresses of the work folder by the paths of its files. */
  const file = (text) => String(text).replace(/\bhttps?:\/\/[^\s/]+\/preview\/[^\s/]+\//g, "");

  function tell(text, level = "error") {
    if (parent === window || ++told > MOST) return;
    parent.postMessage({ preview: level, text: file(text).slice(0, LONGEST) }, home);
  }

  const place = (name, line, column) => (name ? ` (${name}:${line}:${column})` : "");

  addEventListener("error", (event) => {
    const { target } = event;
    if (target instanceof Element) tell(`Could not load ${target.src || target.href}`);
    else tell(`${event.message.replace(/^Uncaught /, "")}${place(event.filename, event.lineno, event.colno)}`);
  }, true);
  addEventListener("unhandledrejection", ({ reason }) => tell(`Unhandled rejection: ${reason?.stack ?? reason}`));
  addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
    if (effectiveDirective !== "img-src" || !blockedURI.startsWith(home)) tell(`There is no network here: ${blockedURI} was blocked (${effectiveDirective}).`);
  });

  // The panel asks whether the page still answers, and closes on Escape, unless the page takes it.
  addEventListener("message", ({ source, data }) => {
    if (source === parent && parent !== window && data?.preview === "there?") parent.postMessage({ preview: "here" }, home);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && parent !== window) parent.postMessage({ preview: "escape" }, home);
  });

  function words(values) {
    return values.map((value) => {
      if (value instanceof Error) return value.stack ?? String(value);
      if (typeof value !== "object" || value === null) return String(value);
      try {
        return JSON.stringify(value);
      } catch {
        return Object.prototype.toString.call(value);
      }
    }).join(" ");
  }
  for (const level of ["error", "warn"]) {
    const usual = console[level].bind(console);
    console[level] = (...values) => {
      usual(...values);
      tell(words(values), level);
    };
  }

  // Pages expect to keep things; here they keep them until they are closed.
  class Kept {
    #items = new Map();
    get length() { return this.#items.size; }
    key(index) { return [...this.#items.keys()][index] ?? null; }
    getItem(key) { return this.#items.get(String(key)) ?? null; }
    setItem(key, value) { this.#items.set(String(key), String(value)); }
    removeItem(key) { this.#items.delete(String(key)); }
    clear() { this.#items.clear(); }
  }
  for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, { value: new Kept(), configurable: true });

  // The browser shows no dialogs of a page in a frame without an origin.
  window.alert = (text) => tell(`alert: ${text}`, "warn");
  window.confirm = (text) => { tell(`confirm: ${text} (answered: yes; there are no dialogs in the preview)`, "warn"); return true; };
  window.prompt = (text, usual) => { tell(`prompt: ${text} (there are no dialogs in the preview)`, "warn"); return usual ?? null; };

  // Where the browser knows no Connection-Allowlist, this at least is not at hand.
  for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection", "RTCDataChannel", "WebTransport"]) delete window[name];
})();
