// What happens when a link or a picture in a turn is followed: loaded with the first one that asks for more than going.

import { clone, say } from "./words.js";

/** Show the whole address before going there: it could tell its host more than where to look. */
export function ask(link) {
  const dialog = clone("leave-template");
  const address = link.href;
  const { host } = new URL(address);
  const at = host ? address.indexOf(host) : -1;
  const shown = dialog.querySelector("[data-slot=address]");
  const strong = document.createElement("strong");
  strong.textContent = at < 0 ? "" : host;
  shown.append(at < 0 ? address : address.slice(0, at), strong, at < 0 ? "" : address.slice(at + host.length));
  dialog.querySelector("[data-slot=go]").href = address;
  present(dialog, link);
}

/** The picture as large as the window allows. */
export function enlarge(link) {
  const dialog = clone("picture-template");
  const small = link.querySelector("img");
  const large = dialog.querySelector("img");
  large.src = link.href;
  large.alt = small.alt;
  dialog.setAttribute("aria-label", small.alt || dialog.getAttribute("aria-label"));
  dialog.querySelector("figcaption").textContent = small.alt;
  const save = dialog.querySelector("[data-slot=save]");
  save.href = link.href;
  save.download = link.dataset.name ?? decodeURIComponent(link.href.split("/").filter(Boolean).at(-1));
  present(dialog, link);
}

/** Words in place of a picture whose file is not there. */
export function missing(img) {
  const words = document.createElement("span");
  words.className = "picture--missing";
  words.textContent = say("picture_missing", { name: img.alt || decodeURIComponent(img.src.split("/").at(-1)) });
  img.closest(".picture")?.replaceWith(words);
}

function present(dialog, opener) {
  document.getElementById("layer").append(dialog);
  dialog.addEventListener("click", ({ target }) => {
    if (target === dialog || target.closest("[data-close], [data-slot=go]")) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    opener.focus({ preventScroll: true });
  });
  dialog.showModal();
}
