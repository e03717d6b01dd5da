// The earlier steps of a long turn, folded into one line while it runs. Loaded when a turn grows long.

import { isFollowing } from "./paint.js";
import { clone, say } from "./words.js";

const LEFT_OPEN = 10;
const IN_A_FOLD = 20;

/** Fold the oldest open steps, but never under the reader: only while they follow the end, nothing of it open. */
export function fold(stepped) {
  if (!isFollowing()) return;
  const open = [...stepped.children].filter((child) => !child.matches(".fold"));
  const away = open.slice(0, Math.min(IN_A_FOLD, open.length - LEFT_OPEN));
  if (away.length < IN_A_FOLD || away.some((child) => child.querySelector("details[open], .is-live") || child.contains(document.activeElement))) return;
  const numbers = away.map((child) => child.dataset.step).filter(Boolean);
  const details = clone("fold-template");
  details.dataset.fold = `live-${numbers[0]}`;
  details.querySelector(".fold__title").textContent = say("steps", { first: numbers[0], last: numbers.at(-1) });
  details.querySelector(".fold__tally").textContent = tally(away);
  if (away.some((child) => child.querySelector(".call--error"))) details.querySelector(".bead").replaceWith(clone("warning-template"));
  away[0].before(details);
  details.querySelector(".fold__body").append(...away);
}

function tally(steps) {
  const counts = new Map();
  for (const name of steps.flatMap((step) => [...step.querySelectorAll(".call__what b")])) {
    counts.set(name.textContent, (counts.get(name.textContent) ?? 0) + 1);
  }
  const most = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 4);
  return most.map(([name, times]) => (times > 1 ? `${name} ×${times}` : name)).join(", ");
}
