// The page's words, in the reader's language: the server writes them into <template id="words">.

const words = new Map();

/** The word with its {placeholders} filled in. */
export function say(name, values = {}) {
  if (words.size === 0) {
    for (const entry of document.getElementById("words")?.content.children ?? []) words.set(entry.value, entry.textContent);
  }
  return (words.get(name) ?? name).replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

const figures = new Intl.NumberFormat(document.documentElement.lang || "en");

export const figure = (number) => figures.format(number);

/** "0.4 s", "32 s", "2 min 05 s", as the server writes it. */
export function duration(milliseconds) {
  if (milliseconds < 1000) return say("seconds", { n: (Math.max(milliseconds, 100) / 1000).toFixed(1) });
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return say("seconds", { n: seconds });
  return say("minutes", { m: Math.floor(seconds / 60), s: String(seconds % 60).padStart(2, "0") });
}

/** A copy of what a <template> holds: its first element. */
export function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** Tell a screen reader, apart from the streaming text, which is never announced. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  if (announcer && announcer.textContent !== text) announcer.textContent = text;
}

const lines = new Map(); // tool → how its calls are written; chat/call_lines.py says the same of stored ones

/** A tool call as a person reads it: what is done, to what. Its icon is a new one each time. */
export function callLine(name, written = "") {
  if (lines.size === 0) {
    for (const entry of document.getElementById("tool-lines")?.content.children ?? []) lines.set(entry.value, entry);
  }
  const entry = lines.get(name);
  if (!entry) return { label: name, object: inOneLine(written).slice(0, 300), isCode: true, icon: clone("tool-icon") };
  return {
    label: entry.textContent,
    object: inOneLine(objectOf(entry.dataset.shown.split(" "), written)).slice(0, 300),
    isCode: "code" in entry.dataset,
    icon: entry.firstElementChild.cloneNode(true),
  };
}

/** What the model wrote for a call, by the arguments' names; null when it is no JSON object. */
function parsed(written) {
  try {
    const given = JSON.parse(written || "{}");
    return typeof given === "object" && !Array.isArray(given) ? given : null;
  } catch {
    return null;
  }
}

/** All that a call was given, each argument by its name; code stands in its lines, not as JSON. */
export function inputOf(written) {
  const given = parsed(written);
  if (!given) return written;
  const entries = Object.entries(given);
  const texts = entries.map(([name, value]) => [name, inWords(value).trimEnd()]);
  if (entries.length === 1 && typeof entries[0][1] === "string") return texts[0][1];
  return texts.map(([name, text]) => (text.includes("\n") ? `${name}:\n${text}` : `${name}: ${text}`)).join("\n");
}

function objectOf(keys, written) {
  const given = parsed(written);
  if (!given) return written;
  const values = keys.map((key) => given[key]).filter((value) => value !== undefined && value !== null && value !== "" && value.length !== 0);
  return values.map(inWords).join(" · ");
}

function inWords(value) {
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What came of a call: of an error in Python its last line, else how the text begins. */
export function gist(result) {
  let said = result.split("\n").map((line) => line.trim()).filter((line) => line && !/^\[(begin|end) /.test(line));
  if (said[0]?.startsWith("Traceback (most recent call last)")) said = said.slice(-1);
  const text = inOneLine(said.slice(0, 4).join(" "));
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

const inOneLine = (text) => text.split(/\s+/).join(" ").trim();
