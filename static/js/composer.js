// The message box: what is typed, the switch, the menus, send and stop in one place. It sends nothing itself:
// it tells the page by the events "send", "queue", "steer" {text, files} and "stop".

import { figure, say } from "./words.js";

const LIMITS = ["max_steps", "max_seconds", "max_reasoning_tokens", "max_total_tokens", "max_cost", "max_calls_per_tool"];
const AS_WRITTEN = { max_cost: (text) => text, max_calls_per_tool: callsPerTool };

export class Composer extends EventTarget {
  unsent = ""; // what was sent and the server has not taken yet
  #isRunning = false;
  #held = ""; // how it was sent, while it waits for its files
  #edited = {}; // effort → the limits that the person set

  constructor(form, { drafts, conversation, attachments }) {
    super();
    this.form = form;
    this.attachments = attachments;
    this.drafts = drafts;
    this.conversation = conversation;
    this.input = form.querySelector("#message");
    this.button = form.querySelector("#send");
    this.toggle = form.querySelector("#long-thinking");
    this.note = form.querySelector("#note");
    this.models = [...form.querySelectorAll("[data-model]")];
    this.efforts = [...form.querySelectorAll("[data-effort]")].filter((item) => item.role === "radio");
    this.limits = Object.fromEntries(LIMITS.map((name) => [name, form.querySelector(`[name=${name}]`)]));
    this.team = form.querySelector("[name=team]");
    this.planFirst = form.querySelector("[name=plan_needs_approval]");
    const isTouched = this.#recall();
    this.#listen();
    this.write(this.input.value || drafts.read(conversation)); // typed before this script ran, or kept from before
    if (isTouched) this.#remember();
    else this.#show();
    // Another page has written in the meantime, or what was on its way has come in.
    document.addEventListener("draft-merged", ({ detail: text }) => {
      if (!this.unsent && this.input.value !== text) this.write(text);
    });
  }

  get text() {
    return this.input.value.trim();
  }

  get isRunning() {
    return this.#isRunning;
  }

  set isRunning(value) {
    this.#isRunning = value;
    this.button.classList.toggle("send--stop", value);
    this.button.setAttribute("aria-label", say(value ? "stop" : "send"));
    this.input.placeholder = value ? say("steer_or_queue") : this.conversation ? say("follow_up") : this.input.dataset.empty;
    this.#weigh();
  }

  /** The choices as a command of the socket wants them. */
  get settings() {
    const isOn = this.isThinking;
    return {
      model: this.model?.dataset.model ?? "",
      long_thinking: isOn,
      effort: this.effort.dataset.effort,
      limits: isOn ? this.#chosenLimits() : {},
      team: isOn ? this.team?.value ?? "" : "",
      plan_needs_approval: isOn && this.planFirst.checked,
      preset: this.form.dataset.preset ?? "",
      is_temporary: document.querySelector("#main[data-temporary]") !== null,
    };
  }

  get model() {
    return this.models.find((item) => item.ariaChecked === "true");
  }

  get effort() {
    return this.efforts.find((item) => item.ariaChecked === "true");
  }

  get isThinking() {
    return this.model?.dataset.thinks === "true" && this.toggle.checked;
  }

  set isThinking(value) {
    this.toggle.checked = value;
    this.#remember();
  }

  /** Put this into the box, as if typed. */
  write(text) {
    this.input.value = text;
    this.#typed();
  }

  focus() {
    this.input.focus({ preventScroll: true });
  }

  /** Say beside the text what stands in the way; an empty text takes it back. */
  warn(text, { icon = "warning" } = {}) {
    this.note.replaceChildren();
    if (!text) return;
    const parts = document.getElementById("note-template").content.cloneNode(true);
    const use = parts.querySelector("use");
    use.setAttribute("href", this.button.querySelector("use").getAttribute("href").replace(/#.*/, `#i-${icon}`));
    parts.querySelector("span").textContent = text;
    this.note.append(parts);
  }

  #listen() {
    this.input.addEventListener("input", () => this.#typed());
    this.input.addEventListener("keydown", (event) => this.#pressed(event));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#isRunning) this.dispatchEvent(new Event("stop"));
      else this.#send();
    });
    this.attachments.addEventListener("settled", () => this.#settled());
    this.attachments.addEventListener("refused", ({ detail }) => this.warn(detail));
    this.toggle.addEventListener("change", () => this.#remember());
    this.form.addEventListener("click", (event) => this.#clicked(event.target));
    for (const field of Object.values(this.limits)) field.addEventListener("change", () => this.#edit());
  }

  #pressed(event) {
    // Enter that ends an input method's composition is no Enter; keyCode 229 is how Safari says so.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (this.#isRunning) this.#send(event.ctrlKey || event.metaKey ? "steer" : "queue");
    else this.#send();
  }

  /** `how`: "send", or while a turn is under way "queue" (it waits for its end) or "steer" (said to it at once). */
  #send(how = "send") {
    const longest = Number(this.form.dataset.maxChars);
    this.#held = "";
    if (!this.text) return;
    if (!this.model) this.warn(say("no_model"));
    else if (this.text.length > longest) this.warn(say("too_long", { n: figure(longest) }));
    else if (this.isThinking && Object.values(this.limits).some((field) => !field.validity.valid)) this.warn(say("bad_limits"));
    else if (!this.attachments.isReady) this.#hold(how);
    else this.dispatchEvent(new CustomEvent(how, { detail: { text: this.text, files: this.attachments.take() } }));
  }

  /** The message goes out by itself, once its files are read. */
  #hold(how) {
    this.#held = how;
    this.warn(say("files_reading"), { icon: "wait" });
  }

  #settled() {
    if (!this.#held) return;
    if (this.attachments.hasFailed) {
      this.#held = ""; // they were to go with it: whoever sends again lets it go without them
      this.warn(say("files_failed"));
      return;
    }
    this.warn("");
    this.#send(this.#isRunning ? this.#held.replace("send", "queue") : "send");
  }

  #clicked(target) {
    const model = target.closest("[data-model]");
    const effort = target.closest("[role=radio]");
    if (target.closest("[data-action=dismiss-note]")) this.warn("");
    const preset = target.closest("[data-preset][role]");
    if (preset) this.#begin(preset);
    if (model) this.#choose(this.models, model);
    if (effort) this.#choose(this.efforts, effort);
  }

  /** From the next message on as this preset says; chosen again, without. */
  #begin(item) {
    const isOn = item.ariaChecked !== "true";
    for (const one of this.form.querySelectorAll("[data-preset][role]")) one.ariaChecked = String(isOn && one === item);
    this.form.dataset.preset = isOn ? item.dataset.preset : "none";
    this.form.querySelector("[data-slot=preset]").textContent = isOn ? `· ${item.textContent.trim()}` : "";
    const { presetModel, presetThinking: thinking } = item.dataset;
    const model = this.models.find((one) => one.dataset.model === presetModel);
    const effort = this.efforts.find((one) => one.dataset.effort === thinking);
    if (!isOn) return;
    if (model) this.#choose(this.models, model);
    if (effort) this.#choose(this.efforts, effort);
    if (thinking) this.isThinking = thinking !== "off";
  }

  #choose(items, chosen) {
    for (const item of items) {
      item.ariaChecked = String(item === chosen);
      item.tabIndex = item === chosen ? 0 : -1;
    }
    this.#remember();
  }

  /** The draft is what is on its way and not yet taken, and what is typed behind it. */
  keep() {
    this.drafts.write(this.conversation, [this.unsent, this.input.value].filter(Boolean).join("\n\n"));
  }

  #typed() {
    this.keep();
    if (!CSS.supports("field-sizing", "content")) {
      this.input.style.height = "auto";
      this.input.style.height = `${Math.min(280, this.input.scrollHeight)}px`;
    }
    this.#weigh();
  }

  #weigh() {
    this.button.disabled = !this.#isRunning && !this.text;
  }

  /** A conversation goes on as its last turn was; a new one begins as the person left the composer. The switch may
   * have been set already, on the page without its script: then it stays; true if so. */
  #recall() {
    const { dataset } = this.form;
    const kept = this.drafts.choices;
    this.#edited = kept.limits ?? {};
    const isNew = !this.conversation && !("begins" in dataset); // else it begins as the settings say
    const effort = (isNew && kept.effort) || dataset.effort;
    const model = this.models.find((item) => isNew && item.dataset.model === kept.model);
    const isTouched = this.toggle.checked !== this.toggle.defaultChecked; // before this script ran
    if (isNew && !isTouched) this.toggle.checked = kept.longThinking ?? this.toggle.checked;
    this.efforts.forEach((item) => { item.ariaChecked = String(item.dataset.effort === effort); });
    if (model) this.models.forEach((item) => { item.ariaChecked = String(item === model); });
    return isTouched;
  }

  #remember() {
    this.#show();
    this.drafts.choices = {
      model: this.model?.dataset.model,
      longThinking: this.toggle.checked,
      effort: this.effort.dataset.effort,
      limits: this.#edited,
    };
  }

  #show() {
    const { model, effort } = this;
    this.form.querySelector("#long").hidden = model?.dataset.thinks !== "true";
    this.form.querySelector("[data-slot=effort]").textContent = effort.dataset.label;
    this.form.querySelector("[data-slot=model]").textContent = model?.dataset.label ?? "";
    const edited = this.#edited[effort.dataset.effort] ?? {};
    for (const [name, field] of Object.entries(this.limits)) field.value = edited[name] ?? this.#preset(name);
  }

  #preset(name) {
    const value = this.effort.getAttribute(`data-${name.replaceAll("_", "-")}`) ?? "";
    return name === "max_reasoning_tokens" ? String(Math.min(value, this.model?.dataset.maxReasoningTokens ?? value)) : value;
  }

  #edit() {
    const changed = Object.entries(this.limits).filter(([name, field]) => field.value !== "" && field.value !== this.#preset(name));
    this.#edited[this.effort.dataset.effort] = Object.fromEntries(changed.map(([name, field]) => [name, field.value]));
    this.#remember();
  }

  #chosenLimits() {
    const edited = this.#edited[this.effort.dataset.effort] ?? {};
    return Object.fromEntries(Object.entries(edited).map(([name, value]) => [name, (AS_WRITTEN[name] ?? Number)(value)]));
  }
}

/** "search 20, python 5" as { search: 20, python: 5 }. */
function callsPerTool(text) {
  return Object.fromEntries(text.split(",").map((one) => one.trim().split(/\s+/)).map(([tool, times]) => [tool, Number(times)]));
}
