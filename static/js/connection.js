// How the link to the server stands, as the reader sees it: a bar after two seconds without one, a dialog after sign-out.

import { lazy } from "./lazy.js";
import { say } from "./words.js";

const PATIENCE_MS = 2000;

const signIn = lazy(() => import("./sign_in.js"));

export class Connection {
  #retryAt = 0;
  #lostAt = 0;
  #timer = 0;

  constructor(stream, { signIn }) {
    this.bar = document.getElementById("connection");
    this.dialog = document.getElementById("signed-out");
    this.signIn = signIn;
    this.stream = stream;
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
    if (this.dialog.open) return;
    this.dialog.showModal();
    void signIn().then(({ offer }) => offer(this.dialog, (user, token) => this.#signedIn(user, token)), () => {}); // the link stays
  }

  /** Back, under a new token; somebody else gets a page of their own. */
  #signedIn(user, token) {
    if (user !== document.querySelector(".app").dataset.user) return location.assign("/");
    document.body.setAttribute("hx-headers:inherited", JSON.stringify({ "X-CSRFToken": token }));
    for (const field of document.querySelectorAll("[name=csrfmiddlewaretoken]")) field.value = token;
    this.dialog.querySelector("form[data-token]")?.remove();
    for (const old of this.dialog.querySelectorAll(".dialog__actions")) old.hidden = false;
    this.dialog.close();
    document.dispatchEvent(new Event("signed-in"));
    return this.stream.renew();
  }
}
