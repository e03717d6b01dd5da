// The earlier steps of a long turn, folded into phases while it runs. The server lays them out, as it does for a page that
// comes later; each fold brings its steps when it is opened. Loaded when a turn grows long.

import { restoreFold } from "./folds.js";
import { fetchFragment, wake } from "./fragment.js";
import { isFollowing } from "./paint.js";

const busy = new Map(); // turn → whether to look again

/** Fold what the server says is past, but never under the reader: only while they follow the end, nothing of it open. */
export async function fold(view) {
  if (!isFollowing() || !view.section.isConnected) return;
  if (busy.has(view.id)) {
    busy.set(view.id, true);
    return;
  }
  busy.set(view.id, false);
  try {
    const fresh = await fetchFragment(`/turns/${view.id}/folds/`);
    if (view.section.hasAttribute("data-live")) layOut(view, fresh);
  } catch (error) {
    console.warn("could not fold earlier steps", error.message); // the next look brings them
  }
  const again = busy.get(view.id);
  busy.delete(view.id);
  if (again) void fold(view);
}

function layOut({ id, stepped }, fresh) {
  stepped.querySelectorAll(":scope > [data-phase]").forEach((head) => head.remove());
  let phase = null;
  for (const piece of [...fresh.children]) {
    if (piece.matches("[data-phase]")) phase = piece;
    else if (piece.matches(".fold")) put(stepped, id, piece);
    const shown = phase && placeOf(stepped, piece);
    if (!shown) continue;
    shown.before(phase);
    phase = null;
  }
  const open = [...stepped.children].find((child) => child.matches("[data-step]:not(.fold)"));
  if (phase && open) open.before(phase);
}

const placeOf = (stepped, piece) => piece.dataset.fold && stepped.querySelector(`:scope > [data-fold="${CSS.escape(piece.dataset.fold)}"]`);

/** The fold in place of the steps and lesser folds that it holds. */
function put(stepped, turn, piece) {
  if (placeOf(stepped, piece)) {
    placeOf(stepped, piece).className = piece.className;
    return;
  }
  const [first, last] = [Number(piece.dataset.first), Number(piece.dataset.last)];
  const held = [...stepped.children].filter((child) => {
    const [from, to] = rangeOf(child);
    return from >= first && to <= last;
  });
  if (!held.length || held.some((child) => child.matches("details[open]") || child.querySelector("details[open], .is-live") || child.contains(document.activeElement))) return;
  held[0].before(piece);
  held.forEach((child) => child.remove());
  restoreFold(turn, piece);
  wake(piece);
}

function rangeOf(child) {
  if (child.dataset.first) return [Number(child.dataset.first), Number(child.dataset.last)];
  const numbers = [child, ...child.querySelectorAll("[data-step]")].map(({ dataset }) => Number(dataset.step ?? dataset.notes)).filter((number) => !Number.isNaN(number));
  return numbers.length ? [Math.min(...numbers), Math.max(...numbers)] : [Number.NaN, Number.NaN];
}
