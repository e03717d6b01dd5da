// A shared chat: what its answers hold is drawn, and can be copied.

import { copyFrom } from "./clipboard.js";
import { decorate } from "./code.js";

document.querySelectorAll(".answer").forEach(decorate);

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-action]");
  if (button?.dataset.action === "copy-link") void copyFrom(button, location.href.replace(/#.*/, ""));
  if (button?.dataset.action === "copy-code") void copyFrom(button, button.closest(".code").querySelector("code").textContent);
});
