// What of a turn opens and closes: as the reader left it, over reloads and whatever the server draws anew.

import { decorate } from "./code.js";

/** What a piece of a turn that came from the server gets: copy buttons, the folds that the reader had open. */
export function dress(section) {
  section.querySelectorAll(".answer").forEach(decorate);
  section.querySelectorAll("details[data-fold]").forEach((fold) => restoreFold(section.dataset.turn, fold));
}

const folds = new Set(JSON.parse(sessionStorage.getItem("folds") ?? "[]"));

/** A fold that the reader opened stays open until they close it, over reloads too. */
export function restoreFold(turn, element) {
  const key = `${turn} ${element.dataset.fold}`;
  if (folds.has(key)) element.open = true;
  element.addEventListener("toggle", () => {
    if (element.open) folds.add(key);
    else folds.delete(key);
    sessionStorage.setItem("folds", JSON.stringify([...folds].slice(-500)));
  });
}
