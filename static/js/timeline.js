// The steps of a turn as a person walks through them: one kind of them, one of them in the panel, from row to row by
// keyboard. Loaded when somebody does the first of these.

import { fetchFragment, wake } from "./fragment.js";
import { dress } from "./folds.js";

// ---- one kind

/** Show only the calls of the chip's kind, or all steps again. */
export async function filter(chip) {
  const section = chip.closest(".turn");
  const kind = chip.dataset.filter;
  press(section, kind);
  section.querySelector(":scope > .reply > .graph")?.dispatchEvent(new Event("leave"));
  if (!kind) {
    delete section.dataset.filtered;
    section.querySelector(":scope > .reply > .filtered")?.remove();
    return;
  }
  const fresh = await fetchFragment(`/turns/${section.dataset.turn}/rows/?kind=${kind}`);
  section.querySelector(":scope > .reply > .filtered")?.remove();
  section.dataset.filtered = kind;
  section.querySelector(":scope > .reply > .stepped").before(fresh);
  dress(fresh);
  wake(fresh);
}

function press(section, kind) {
  for (const one of section.querySelectorAll("[data-filter]")) one.ariaPressed = String(one.dataset.filter === kind);
}

// ---- from row to row

const ROWS = ".turn :is(.fold, .call, .reasoning, .remark) > summary";

/** The row by so many rows further, of those in sight of a person; the first of the last turn where none has the focus. */
export function step(by) {
  const beside = document.activeElement.closest?.("#panel")?.querySelector(`[data-turn-call="${by}"]`);
  if (beside) {
    beside.click();
    return;
  }
  const rows = [...document.querySelectorAll(ROWS)].filter((row) => row.checkVisibility());
  const at = rows.indexOf(document.activeElement.closest?.("summary"));
  const next = at < 0 ? rows.find((row) => row.closest(".turn") === document.querySelector(".turn:last-of-type")) : rows[at + by];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}
