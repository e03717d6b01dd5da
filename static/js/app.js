// What every page behind sign-in needs: menus, dialogs that htmx brings, the sidebar, copying, forgetting drafts at sign-out.

import "./fragment.js";
import "./menus.js";
import "./shortcuts.js";
import { copyFrom } from "./clipboard.js";
import { forget } from "./drafts.js";
import { lazy } from "./lazy.js";

const layer = document.getElementById("layer");
const sidebar = document.getElementById("sidebar");
const app = document.querySelector(".app");

// A dialog that a response put into the layer opens; when it closes, it goes.
new MutationObserver(() => {
  const dialog = layer.querySelector("dialog[data-open]:not([open])");
  if (!dialog) return;
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  dialog.querySelector("input[type=text]")?.select();
}).observe(layer, { childList: true });

document.addEventListener("click", (event) => {
  const { target } = event;
  if (target.closest("[data-close]")) target.closest("dialog").close();
  const copies = target.closest("[data-copy]");
  if (copies) void copyFrom(copies, document.querySelector(copies.dataset.copy).textContent);
  if (target.closest("[data-sidebar]")) toggleSidebar(event, target.closest("[data-sidebar]").dataset.sidebar);
  if (target.closest(".sidebar a") && sidebar.matches(":popover-open")) sidebar.hidePopover();
});

// A fragment that leads to the sign-in page instead: say so, and swap nothing.
document.addEventListener("htmx:before:response", (event) => {
  if (!event.detail.ctx.response.raw.redirected) return;
  event.preventDefault();
  if (document.getElementById("signed-out")) document.dispatchEvent(new Event("signed-out"));
  else location.reload();
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-sign-out]")) return;
  forget(app.dataset.user);
  navigator.serviceWorker?.controller?.postMessage("signed-out");
});

/** On a wide screen the sidebar makes room and the choice is kept; on a narrow one it is a drawer that the browser opens. */
function toggleSidebar(event, wish) {
  if (!matchMedia("(min-width: 1100px)").matches) {
    if (wish === "hide") sidebar.hidePopover();
    return;
  }
  event.preventDefault();
  app.classList.toggle("is-wide", wish === "hide");
  document.cookie = `sidebar=${wish === "hide" ? "hidden" : "shown"}; path=/; max-age=31536000; samesite=lax`;
}

// ---- when a run is over

const notify = lazy(() => import("./notify.js"));
const meters = lazy(() => import("./meters.js"));

document.addEventListener("change", ({ target }) => {
  if (target.name === "notifies_browser" && target.checked) void notify().then(({ ask }) => ask(target));
});

document.addEventListener("turn-over", ({ detail: turn }) => {
  void meters().then(({ measure }) => measure(document.getElementById("main").dataset.conversation));
  if ("notifies" in app.dataset) void notify().then(({ tell, seen }) => (document.hidden ? tell : seen)(turn));
});

// ---- the site as an app of the device

const installing = lazy(() => import("./install.js"));

addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault(); // it is offered in the settings
  void installing().then(({ offer }) => offer(event));
});
(globalThis.requestIdleCallback ?? setTimeout)(() => void installing().then(({ register }) => register()));
