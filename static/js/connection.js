// How the link to the server stands, as the reader sees it: a bar after two seconds without one, a dialog after sign-out.

import { say } from "./words.js";

const PATIENCE_MS = 2000;

export class Connection {
  #retryAt = 0;
  #lostAt = 0;
  #timer = 0;

  constructor(stream, { signIn }) {
    this.bar = document.getElementById("connection");
    this.dialog = document.getElementById("signed-out");
    this.signIn = signIn;
    stream.addEventListener("state", ({ detail }) => {
      if (!detail.isOpen) return this.#lost(detail.retryAt);
      document.dispatchEvent(new Event("connected"));
      return this.#found();
    });
    stream.addEventListener("signed-out", () => this.#signedOut());
    document.addEventListener("signed-out", () => this.#signedOut()); // a fragment could not be had
    this.bar.querySelector("[data-action=reconnect]").addEventListener("click", () => stream.retryNow());
  }

  #found() {
    this.#lostAt = 0;
    clearInterval(this.#timer);
    this.bar.hidden = true;
    if (this.dialog.open) this.dialog.close();
  }

  #lost(retryAt) {
    this.#retryAt = retryAt;
    if (this.#lostAt) return;
    this.#lostAt = Date.now();
    this.#timer = setInterval(() => this.#show(), 500);
  }

  #show() {
    if (Date.now() - this.#lostAt < PATIENCE_MS) return;
    const seconds = Math.max(0, Math.ceil((this.#retryAt - Date.now()) / 1000));
    this.bar.querySelector("[data-slot=wait]").textContent = seconds ? say("next_try", { n: seconds }) : "";
    this.bar.hidden = false;
  }

  #signedOut() {
    this.#found();
    this.dialog.querySelector("[data-slot=sign-in]").href = `${this.signIn}?next=${encodeURIComponent(location.pathname)}`;
    if (!this.dialog.open) this.dialog.showModal();
  }
}
