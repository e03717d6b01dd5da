// Files on their way into a message: chosen, dropped or pasted, sent up one by one, each a chip that tells how far it is.
// Tells the composer by the events "changed" and "settled"; what of a file can be read is the server's to say.

import { announce, clone, figure, say } from "./words.js";

const MOST_FAULTS = 5;
const LOOK_AGAIN_MS = [200, 300, 500, 800, 1200];

export class Attachments extends EventTarget {
  #files = []; // { id, name, bytes, state, words, chip, request }

  constructor(form, { drafts, conversation }) {
    super();
    this.form = form;
    this.drafts = drafts;
    this.conversation = conversation;
    this.list = form.querySelector("#attachments");
    this.input = form.querySelector("#files");
    this.maxBytes = Number(form.dataset.maxFileMb) * 1024 * 1024;
    this.maxFiles = Number(form.dataset.maxFiles);
    this.#listen();
    for (const id of drafts.readFiles(conversation)) void this.#recall(id);
  }

  get isEmpty() {
    return this.#files.length === 0;
  }

  /** Whether none is still on its way. Those that failed do not go with the message. */
  get isReady() {
    return this.#files.every(isSettled);
  }

  get hasFailed() {
    return this.#files.some((file) => file.state === "failed");
  }

  /** What goes out with the message: it is on its way, so it stays in the draft until the server has it. */
  take() {
    const taken = this.#files.filter(({ state }) => state === "ready").map(({ id, name, bytes }) => ({ id, name, bytes }));
    for (const { id, state } of this.#files) if (id && state === "failed") discard(id);
    this.#files = [];
    this.#show();
    return taken;
  }

  /** Nothing came of the message: here they are again. */
  restore(files) {
    for (const { id } of files) void this.#recall(id);
  }

  /** The server has the message. */
  forget() {
    this.#keep();
  }

  /** What cannot be taken is told of all of them together. */
  add(files) {
    const faults = new Set();
    for (const file of files) {
      const fault = this.#faultOf(file);
      if (fault) faults.add(fault);
      else this.#upload(file);
    }
    if (faults.size) this.#complain([...faults].slice(0, MOST_FAULTS).join(" "));
  }

  #faultOf(file) {
    if (this.#files.length >= this.maxFiles) return say("too_many_files", { n: figure(this.maxFiles) });
    if (file.size > this.maxBytes) return say("file_too_large", { name: file.name, n: figure(this.maxBytes / 1024 / 1024) });
    return file.size === 0 ? say("file_empty", { name: file.name }) : "";
  }

  // ---- choosing

  #listen() {
    this.form.querySelector("#attach").addEventListener("click", () => this.input.click());
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = ""; // the same file may be chosen again
    });
    this.form.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length || event.clipboardData.types.includes("text/plain")) return;
      event.preventDefault();
      this.add([...event.clipboardData.files]);
    });
    this.list.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) this.#remove(this.#files.find((file) => file.chip.contains(button)));
    });
    this.#listenForDrops(document.getElementById("main"));
  }

  #listenForDrops(place) {
    const isOfFiles = (event) => event.dataTransfer?.types.includes("Files");
    let depth = 0; // of the elements that a dragged file is over
    const mark = (change) => {
      depth = change === 0 ? 0 : Math.max(depth + change, 0);
      this.form.classList.toggle("is-dropping", depth > 0);
    };
    place.addEventListener("dragenter", (event) => isOfFiles(event) && mark(1));
    place.addEventListener("dragleave", (event) => isOfFiles(event) && mark(-1));
    place.addEventListener("dragover", (event) => isOfFiles(event) && event.preventDefault());
    place.addEventListener("drop", (event) => {
      if (!isOfFiles(event)) return;
      event.preventDefault();
      mark(0);
      this.add([...event.dataTransfer.files]);
      this.form.querySelector("#message").focus();
    });
  }

  #complain(text) {
    this.dispatchEvent(new CustomEvent("refused", { detail: text }));
  }

  // ---- sending up

  #upload(file) {
    const entry = this.#enter({ name: file.name, bytes: file.size, state: "uploading", share: 0 });
    const request = (entry.request = new XMLHttpRequest());
    request.open("POST", "/attachments/");
    request.responseType = "json";
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
    request.upload.addEventListener("progress", ({ loaded, total }) => this.#update(entry, { share: loaded / total }));
    request.addEventListener("load", () => this.#uploaded(entry, request));
    request.addEventListener("error", () => this.#fail(entry, say("upload_failed")));
    request.send(file);
  }

  #uploaded(entry, { status, response }) {
    if (status === 401) document.dispatchEvent(new Event("signed-out"));
    if (status !== 201) {
      this.#fail(entry, response?.message ?? say("upload_failed"));
      return;
    }
    this.#update(entry, { ...response, request: null });
    this.#keep();
    void this.#follow(entry);
  }

  async #follow(entry) {
    for (let look = 0; entry.state !== "ready" && entry.state !== "failed"; look += 1) {
      await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS[Math.min(look, LOOK_AGAIN_MS.length - 1)]));
      if (!this.#files.includes(entry)) return;
      const about = await ask(entry.id);
      if (about === "gone") this.#fail(entry, say("upload_failed"));
      else if (about) this.#update(entry, about);
    }
  }

  async #recall(id) {
    const about = await ask(id);
    if (!about || about === "gone" || about.is_sent || this.#files.some((file) => file.id === id)) return;
    void this.#follow(this.#enter(about));
    this.#keep();
  }

  #enter(about) {
    const chip = clone("file-template");
    const entry = { ...about, chip };
    this.#files.push(entry);
    this.list.append(chip);
    this.#show();
    this.#draw(entry);
    return entry;
  }

  #fail(entry, words) {
    this.#update(entry, { state: "failed", words, request: null });
  }

  #update(entry, changes) {
    const before = entry.state;
    Object.assign(entry, changes);
    this.#draw(entry);
    if (entry.state === before || !this.#files.includes(entry)) return;
    if (entry.state === "ready") announce(say("file_ready", { name: entry.name }));
    if (entry.state === "failed") announce(`${entry.name}: ${entry.words}`);
    this.#settle();
  }

  #remove(entry) {
    if (!entry) return;
    entry.request?.abort();
    if (entry.id) discard(entry.id);
    this.#files = this.#files.filter((file) => file !== entry);
    this.#show();
    this.#keep();
    this.form.querySelector("#message").focus();
    this.#settle();
  }

  #settle() {
    if (this.isReady) this.dispatchEvent(new Event("settled"));
  }

  #keep() {
    this.drafts.writeFiles(this.conversation, this.#files.flatMap(({ id }) => id ?? []));
  }

  // ---- showing

  #show() {
    this.list.replaceChildren(...this.#files.map((file) => file.chip));
    this.list.hidden = this.isEmpty;
    this.dispatchEvent(new Event("changed"));
  }

  #draw({ chip, name, bytes, state, words, share }) {
    const isUploading = state === "uploading";
    chip.classList.toggle("file--failed", state === "failed");
    chip.querySelector("[data-slot=name]").textContent = name;
    chip.querySelector("[data-slot=state]").textContent = isUploading ? `${Math.round(share * 100)} %` : state === "ready" ? size(bytes) : words || say("reading");
    chip.querySelector("[data-slot=more]").textContent = state === "ready" ? words : "";
    chip.querySelector("button").setAttribute("aria-label", say("remove_file", { name }));
    chip.querySelector(".bar").toggleAttribute("hidden", !isUploading);
    chip.querySelector(".bar rect").setAttribute("width", `${Math.round((share ?? 0) * 100)}%`);
  }
}

/** The chips of a message that is on its way, as the server will draw them. */
export function sentChips(files) {
  return files.map(({ id, name, bytes }) => {
    const chip = clone("sent-file-template");
    const link = chip.querySelector("a");
    chip.dataset.attachment = id;
    chip.dataset.bytes = bytes;
    link.href = `/attachments/${id}/file/`;
    link.querySelector("[data-slot=name]").textContent = name;
    link.querySelector("[data-slot=state]").textContent = bytes ? size(bytes) : "";
    return chip;
  });
}

/** The files of a message that stands in the thread. */
export function filesOf(section) {
  return [...section.querySelectorAll(".ask [data-attachment]")].map((chip) => ({
    id: chip.dataset.attachment,
    name: chip.querySelector("[data-slot=name]").textContent,
    bytes: Number(chip.dataset.bytes),
  }));
}

function size(bytes) {
  if (bytes < 1024) return say("size_b", { n: figure(bytes) });
  const isSmall = bytes < 1024 * 1024;
  const number = bytes / (isSmall ? 1024 : 1024 * 1024);
  return say(isSmall ? "size_kb" : "size_mb", { n: figure(Number(number.toFixed(number < 10 ? 1 : 0))) });
}

/** What is known of a file; "gone" for one that is there no more, null when nobody can say now. */
async function ask(id) {
  try {
    const response = await fetch(`/attachments/${id}/`, { credentials: "same-origin" });
    if (response.status === 404) return "gone";
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

const isSettled = ({ state }) => state === "ready" || state === "failed";

/** Nobody wants it any more; where the server is away, it clears it up by itself later. */
function discard(id) {
  fetch(`/attachments/${id}/`, { method: "DELETE", headers: headers() }).catch(() => {});
}

const headers = () => JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}");
