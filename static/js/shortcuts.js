// Keys that work on every page: Ctrl-K or Command-K for search and commands, ? for the list of keys.

import { act, lazy } from "./lazy.js";

const palettes = lazy(() => import("./palette.js"));

const isTyping = (target) => target.matches?.("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.altKey) return;
  const key = event.key.toLowerCase();
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && !event.shiftKey && key === "k") palette(event);
  else if (isCommand && event.shiftKey && key === "o") go(event);
  else if (!isCommand && event.key === "?" && !isTyping(event.target) && !isBusy()) void act(palettes, ({ openKeys }) => openKeys());
});

// The link leads to the page of the search, for who has no script.
document.addEventListener("click", (event) => {
  if (!event.target.closest("#search") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  palette(event);
});

const isBusy = () => document.querySelector("dialog[open]") !== null;

function palette(event) {
  event.preventDefault();
  const open = document.querySelector("dialog[open]");
  if (open?.matches(".palette")) open.close();
  else if (!open) void act(palettes, (module) => module.open());
}

function go(event) {
  if (isBusy()) return;
  event.preventDefault();
  document.getElementById("new-chat").click();
}
