// One turn on the page: draws the events of its log, then takes over from the server what is known only at the end.

import { now } from "./clock.js";
import { dress, restoreFold } from "./folds.js";
import { SignedOut, fetchFragment, wake } from "./fragment.js";
import { Unserved, chance, lazy } from "./lazy.js";
import { repaint } from "./paint.js";
import { PlainStream, ReasoningStream } from "./reasoning.js";
import { announce, callLine, clone, duration, figure, gist, inputOf, say } from "./words.js";

// What most turns have not: steps in such numbers that they fold, and all that is neither text nor a call.
const MOST_OPEN = 14;
const SOON_MS = 4000; // within which a worker mostly begins
const LATER_MS = 15_000;
// And what a page that is only read does without.
const markdown = lazy(() => import("./markdown.js"));
const work = lazy(() => import("./work.js"));
const folding = lazy(() => import("./folding.js"));

/** Have at hand what draws the answer to come. */
export const prepare = () => void markdown();

const OUTCOMES = { error: "failed", cancelled: "stopped" };

export class TurnView {
  #steps = new Map(); // number → { element, reasoning, answer, calls }
  #stepAt = 0;
  #Text = PlainStream; // what draws answers, until Markdown can be
  #isFresh = true;
  #timer = 0;
  #queued = 0; // until its first event: every worker may be busy

  /** `section` is a .turn[data-live]; `onFinished` is told once, when the turn is over and drawn. */
  constructor(section, { onFinished }) {
    this.section = section;
    this.id = section.dataset.turn;
    this.reply = section.querySelector(".reply");
    this.stepped = this.reply.querySelector(":scope > .stepped");
    this.onFinished = onFinished;
    void markdown().then(({ MarkdownStream }) => this.#drawBy(MarkdownStream));
    this.#queued = setTimeout(() => this.#waitFor(say("no_worker")), SOON_MS);
  }

  #drawBy(Text) {
    this.#Text = Text;
    for (const { answer } of this.#steps.values()) {
      if (!answer) continue;
      const { text } = answer.stream;
      answer.element.replaceChildren();
      answer.stream = new Text(answer.element);
      answer.stream.append(text);
      if (answer.isLive) repaint(this);
      else answer.stream.finish();
    }
  }

  apply(event) {
    if (this.#isFresh) this.#clear(); // what the server had drawn of it comes again, as events
    switch (event.type) {
      case "turn.snapshot":
        this.#clear();
        event.events.forEach((one) => this.apply(one));
        break;
      case "step.started":
        this.#startStep(event);
        break;
      case "reasoning.delta":
        this.#reasoning(event.step).append(event.text);
        break;
      case "reasoning.finished":
        this.#finishReasoning(event);
        break;
      case "content.delta":
        this.#answer(event.step).append(event.text);
        break;
      case "tool_call.started":
        this.#startCall(event);
        break;
      case "tool_call.finished":
        this.#finishCall(event);
        break;
      case "turn.finished":
        void this.#finish(event);
        return;
      case "turn.started":
        break;
      default:
        this.#happened(event);
    }
    repaint(this);
  }

  draw() {
    for (const { reasoning, answer } of this.#steps.values()) {
      if (reasoning?.isLive) reasoning.stream.draw();
      if (answer?.isLive) answer.stream.draw();
    }
  }

  /** The answer's text so far: the content of every step, joined. */
  get text() {
    return [...this.#steps.values()].map((step) => (step.isAside ? "" : step.answer?.stream.text ?? "")).join("");
  }

  /** These steps are no part of the answer any more: sent back ("draft"), or undone. They fold away. */
  setAside(kind, first, last) {
    const aside = [...this.#steps].filter(([number, step]) => number >= first && number <= last && !step.isAside);
    const fold = clone(`${kind}-template`);
    aside.find(([, { element }]) => element.isConnected)?.[1].element.before(fold); // others are in folds of the server
    for (const [, step] of aside) {
      this.#endAnswer(step);
      step.isAside = true;
      fold.querySelector(".fold__body").append(step.element);
    }
  }

  /** Nothing more comes: its clock stands, what is shown stays. */
  leave() {
    clearInterval(this.#timer);
    clearTimeout(this.#queued);
    this.#stopWaiting();
    for (const step of this.#steps.values()) {
      this.#endReasoning(step.reasoning);
      this.#endAnswer(step);
    }
    this.reply.removeAttribute("aria-busy");
    this.section.removeAttribute("data-live");
  }

  #clear() {
    this.#isFresh = false;
    clearTimeout(this.#queued);
    this.#stopWaiting(); // for a worker
    this.#steps.clear();
    this.stepped.replaceChildren();
    this.#wait();
  }

  /** A note, a wait, the plan, an agent: drawn by the server, from what is stored. */
  #happened(event) {
    if (event.type === "turn.waiting") {
      this.#stopWaiting();
      this.isParked = true;
    } else if (event.type === "turn.resumed") {
      this.isParked = false;
      this.#wait();
    }
    const { data } = event;
    if (event.type === "model.awaited") {
      this.#waitFor(say("model_away", { n: event.seconds }));
      return;
    }
    if (event.kind === "check" && data.must_revise) this.setAside("draft", event.step, event.step);
    if (event.kind === "rollback") this.setAside("undone", data.to_step + 1, event.step);
    if (event.type === "plan.changed" || event.kind === "rollback") this.#fold(); // a phase may be over
    void work().then(({ happened }) => happened(this, event));
  }

  #fold() {
    if (this.stepped.childElementCount > MOST_OPEN / 2) void folding().then(({ fold }) => fold(this));
  }

  /** A step begins: what was shown of it or of a later one is void. */
  #startStep({ step, at_ms }) {
    for (const notes of this.stepped.querySelectorAll("[data-notes]")) if (notes.dataset.notes >= step) notes.remove();
    if (this.stepped.childElementCount > MOST_OPEN) this.#fold();
    for (const [number, shown] of this.#steps) {
      if (number < step) this.#endAnswer(shown);
      else {
        shown.element.remove();
        this.#steps.delete(number);
      }
    }
    this.#stepAt = at_ms;
    if (step > 2) void work().then(({ advance }) => advance(this));
    this.#wait();
  }

  #step(number) {
    if (!this.#steps.has(number)) {
      const element = document.createElement("div");
      element.className = "stepped";
      element.dataset.step = number;
      this.stepped.append(element);
      this.#steps.set(number, { element, reasoning: null, answer: null, calls: new Map(), isAside: false });
    }
    return this.#steps.get(number);
  }

  #wait() {
    if (!this.isParked && !this.reply.querySelector(":scope > .waiting")) this.reply.append(clone("waiting-template"));
  }

  #waitFor(words) {
    this.#wait();
    const shown = this.reply.querySelector(":scope > .waiting > :last-child");
    if (shown) shown.textContent = words;
  }

  #stopWaiting() {
    this.reply.querySelector(":scope > .waiting")?.remove();
  }

  #reasoning(number) {
    const step = this.#step(number);
    if (!step.reasoning) {
      this.#stopWaiting();
      const element = clone("reasoning-template");
      element.dataset.fold = `reasoning-${number}`;
      step.element.append(element);
      const stream = new ReasoningStream(element.querySelector(".reasoning__body"), element.querySelector(".reasoning__preview"));
      step.reasoning = { element, stream, isLive: true, startedAt: this.#stepAt };
      restoreFold(this.id, element);
      this.#count();
      announce(say("thinking"));
    }
    return step.reasoning.stream;
  }

  /** One clock for the turn's live reasoning. */
  #count() {
    clearInterval(this.#timer);
    const tick = () => {
      const live = [...this.#steps.values()].find((step) => step.reasoning?.isLive)?.reasoning;
      if (!live) clearInterval(this.#timer);
      else live.element.querySelector(".reasoning__meta").textContent = duration(Math.max(1000, now() - live.startedAt));
    };
    tick();
    this.#timer = setInterval(tick, 1000);
  }

  #finishReasoning({ step, duration_ms, num_tokens }) {
    const reasoning = this.#steps.get(step)?.reasoning;
    if (!reasoning) return;
    this.#endReasoning(reasoning);
    reasoning.element.querySelector(".reasoning__label").textContent = say("thought", { duration: duration(duration_ms) });
    reasoning.element.querySelector(".reasoning__meta").textContent = num_tokens ? say(num_tokens === 1 ? "token" : "tokens", { n: figure(num_tokens) }) : "";
    this.#wait();
  }

  #endReasoning(reasoning) {
    if (!reasoning?.isLive) return;
    reasoning.isLive = false;
    reasoning.stream.finish();
    reasoning.element.classList.remove("is-live");
    reasoning.element.querySelector(".moon")?.replaceWith(clone("crescent-template"));
  }

  #answer(number) {
    const step = this.#step(number);
    if (!step.answer) {
      this.#stopWaiting();
      this.#endReasoning(step.reasoning);
      const element = document.createElement("div");
      element.className = "answer is-live";
      step.element.append(element);
      step.answer = { element, stream: new this.#Text(element), isLive: true };
      announce(say("answering"));
    }
    return step.answer.stream;
  }

  #endAnswer({ answer }) {
    if (!answer?.isLive) return;
    answer.isLive = false;
    answer.stream.finish();
    answer.element.classList.remove("is-live");
  }

  #startCall({ step: number, id, name, arguments: written }) {
    const step = this.#step(number);
    if (step.calls.has(id)) return; // it is run again, its worker having died
    this.#stopWaiting();
    this.#endReasoning(step.reasoning);
    this.#endAnswer(step);
    const element = clone("call-template");
    element.dataset.fold = `call-${id}`;
    const line = callLine(name, written);
    element.querySelector(".call__what b").textContent = line.label;
    element.querySelector(".call__what code").textContent = line.object;
    element.querySelector(".call__what").classList.toggle("call__what--words", !line.isCode);
    element.querySelector("[data-slot=arguments]").textContent = inputOf(written);
    step.element.append(element);
    step.calls.set(id, { element, name, isDone: false });
    restoreFold(this.id, element);
  }

  #finishCall({ step, id, result, is_error, duration_ms, is_cached, num_files }) {
    const call = this.#steps.get(step)?.calls.get(id);
    if (!call) return;
    call.isDone = true;
    call.element.classList.toggle("call--error", is_error);
    call.element.querySelector(".moon")?.replaceWith(is_error ? clone("warning-template") : callLine(call.name).icon);
    call.element.querySelector(".call__result").textContent = gist(result);
    call.element.querySelector(".call__time").textContent = is_cached ? say("at_hand") : duration(duration_ms);
    call.element.querySelector("[data-slot=result]").textContent = result;
    announce(say("tool", { name: callLine(call.name).label }));
    document.dispatchEvent(new Event("work-changed"));
    if (num_files) void work().then(({ picture }) => picture(this, id, call.element));
    this.#wait();
  }

  async #finish({ finish_reason, text_sha256 }) {
    this.leave();
    announce(say(OUTCOMES[finish_reason] ?? "answered"));
    this.onFinished(this, finish_reason);
    await this.#settle(text_sha256);
  }

  /** What the server knows of the turn joins what was streamed, or takes its place. While it cannot be had, because the
   * session has ended or the server is away, what was streamed stays. */
  async #settle(text_sha256) {
    try {
      const final = await fetchFragment(`/turns/${this.id}/`);
      if (!this.section.isConnected) return; // another branch is shown by now
      if (this.#hasCallsOf(final) && (await this.#shows(text_sha256))) await this.#complete(final);
      else this.#replace(final);
      repaint(this);
    } catch (error) {
      if (!(error instanceof Unserved)) throw error;
      console.warn("could not load the finished turn", error.message);
      announce(say("unfinished"));
      const isSignedOut = error instanceof SignedOut;
      if (isSignedOut) document.dispatchEvent(new Event("signed-out"));
      await chance(isSignedOut ? Infinity : LATER_MS);
      if (this.section.isConnected) await this.#settle(text_sha256);
    }
  }

  /** False when a call was stopped before its end, or was written and never run. */
  #hasCallsOf(final) {
    const calls = [...this.#steps.values()].flatMap((step) => [...step.calls.values()]);
    return calls.every(({ isDone }) => isDone) && calls.length === Number(final.dataset.calls);
  }

  /** True when the page shows all of the answer, drawn as the server draws it. */
  async #shows(sha256) {
    const isExact = [...this.#steps.values()].every(({ answer }) => answer?.stream.isExact ?? true);
    if (!isExact || !globalThis.crypto.subtle) return false; // plain http has no digest
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(this.text));
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
  }

  /** Keep what was streamed; add what is known only now: tools, notice, tokens and cost. */
  async #complete(final) {
    if (final.querySelector(".slot > *, [data-marked], .call__files") || this.section.querySelector(".slot > *")) {
      (await work()).settle(this.section, final);
    }
    const tools = final.querySelector(".ask__tools");
    this.section.querySelector(".ask__tools").replaceWith(tools);
    for (const head of final.querySelectorAll(".reasoning[data-fold] .reasoning__meta")) {
      const fold = CSS.escape(head.closest(".reasoning").dataset.fold); // an estimate until now
      this.section.querySelector(`[data-fold="${fold}"] .reasoning__meta`)?.replaceWith(head);
    }
    const added = [...final.querySelector(".reply").children].filter((child) => child.matches(".notice, .foot, .passages"));
    this.reply.append(...added);
    this.section.dataset.parent = final.dataset.parent;
    this.reply.querySelector(":scope > .hidden-label").replaceWith(final.querySelector(".reply > .hidden-label"));
    [tools, ...added].forEach(wake);
  }

  #replace(final) {
    for (const fold of this.section.querySelectorAll("details[data-fold][open]")) {
      final.querySelector(`[data-fold="${CSS.escape(fold.dataset.fold)}"]`)?.setAttribute("open", "");
    }
    this.section.replaceWith(final);
    this.section = final;
    adorn(final);
    wake(final);
  }
}

/** What a turn that came from the server gets on the page. */
export function adorn(section) {
  dress(section);
  if (section.querySelector("[data-agent], [data-asks]")) void work().then(({ attend }) => attend(section));
}
