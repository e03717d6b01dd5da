// What a person does with the steps of a turn: calls open in the panel, chips show one kind, j and k go from row to row,
// a citation under the mouse shows its source, and the whole run is a picture. Each comes with its first use.

import { act, lazy } from "./lazy.js";

const panel = lazy(() => import("./panel.js"));
const timeline = lazy(() => import("./timeline.js"));
const graph = lazy(() => import("./graph.js"));
const cards = lazy(() => import("./cards.js"));

const STEPS = { j: 1, k: -1 };

export function walk(scroller) {
  scroller.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-filter]");
    if (chip) void act(timeline, ({ filter }) => filter(chip));
    const pressed = event.target.closest("[data-graph]");
    if (pressed) void act(graph, ({ toggle }) => toggle(pressed));
    const row = event.target.closest(".call > summary");
    if (!row) return;
    event.preventDefault();
    void act(panel, ({ openCall }) => openCall(row));
  });
  scroller.addEventListener("mouseover", ({ target }) => {
    const pill = target.closest(".cite[popovertarget]");
    if (pill && matchMedia("(hover: hover)").matches) void cards().then(({ rest }) => rest(pill));
  });
}

document.addEventListener("keydown", (event) => {
  const by = STEPS[event.key];
  if (!by || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  void act(timeline, ({ step }) => step(by));
});
