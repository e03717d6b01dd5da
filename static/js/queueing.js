// What is typed while a turn is under way: it waits on the server, or is said to the turn at once. What does this comes with
// the first such message.

import { lazy } from "./lazy.js";
import { uuid } from "./stream.js";
import { say } from "./words.js";

const queue = lazy(() => import("./queue.js"));

const hasRows = () => document.querySelector("#queue > .queue__row") !== null;

export class Queueing {
  #isBusy = false;
  #unsent = { said: "", id: "" }; // what may have come without its answer: said again, it bears the same id

  /** `conversationOf` tells the conversation's id, once it has one; `begun` is told when what waited has become a turn. */
  constructor({ composer, attachments, conversationOf, begun }) {
    Object.assign(this, { composer, attachments, conversationOf, begun });
    composer.addEventListener("queue", ({ detail }) => void this.#add(detail, { steers: false }));
    composer.addEventListener("steer", ({ detail }) => void this.#add(detail, { steers: true }));
    document.addEventListener("htmx:after:swap", ({ target }) => { if (target.id === "queue" && !composer.isRunning) this.follow(); });
    if (hasRows()) void queue();
  }

  /** No turn is under way: what waits becomes one by itself. */
  follow() {
    if (hasRows()) void queue().then(({ follow }) => follow(this.conversationOf(), this.begun));
  }

  async #add({ text, files }, { steers }) {
    if (this.#isBusy) return;
    const conversation = this.conversationOf();
    if (!conversation) {
      this.#refuse(say("running"), files);
      return;
    }
    this.#isBusy = true;
    const { add } = await queue();
    const told = { text, attachments: files.map(({ id }) => id), ...this.composer.settings };
    const said = JSON.stringify([conversation, steers, told]);
    if (this.#unsent.said !== said) this.#unsent = { said, id: uuid() };
    const fault = await add(conversation, { client_id: this.#unsent.id, ...told }, { steers });
    this.#isBusy = false;
    if (fault !== null) {
      this.#refuse(fault, files);
      return;
    }
    this.#unsent = { said: "", id: "" };
    this.composer.warn("");
    if (this.composer.text === text) this.composer.write("");
    if (!this.composer.isRunning) this.follow(); // it has ended meanwhile
  }

  #refuse(fault, files) {
    this.attachments.restore(files);
    this.composer.warn(fault, { icon: "wait" });
  }
}
