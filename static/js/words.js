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
