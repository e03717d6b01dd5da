// Menus that a button with aria-controls opens: arrows move, Escape and a click outside close, focus goes back.

const ITEMS = '[role^="menuitem"], [role="radio"]';

let opened = null; // { button, menu }

function open(button, menu) {
  close();
  menu.hidden = false;
  button.setAttribute("aria-expanded", "true");
  opened = { button, menu };
  (menu.querySelector('[aria-checked="true"]') ?? menu.querySelector(ITEMS))?.focus();
}

/** Close the open menu; `true` when there was one. */
export function close({ givesFocusBack = false } = {}) {
  if (!opened) return false;
  const { button, menu } = opened;
  opened = null;
  menu.hidden = true;
  button.setAttribute("aria-expanded", "false");
  if (givesFocusBack) button.focus();
  return true;
}

function move(event) {
  const items = [...opened.menu.querySelectorAll(ITEMS)];
  const place = items.indexOf(document.activeElement);
  const target = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: items.length - 1 }[event.key];
  if (target === undefined || place < 0) return;
  event.preventDefault();
  items.at(target % items.length)?.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[aria-controls][aria-haspopup]");
  if (button) {
    const menu = document.getElementById(button.getAttribute("aria-controls"));
    if (opened?.menu === menu) close();
    else open(button, menu);
  } else if (opened && !opened.menu.contains(event.target)) {
    close();
  } else if (opened && event.target.closest('[role="menuitem"]')) {
    close({ givesFocusBack: true });
  }
});

document.addEventListener("keydown", (event) => {
  if (!opened) return;
  if (event.key === "Escape") {
    event.preventDefault();
    close({ givesFocusBack: true });
  } else {
    move(event);
  }
});

document.addEventListener("focusin", (event) => {
  if (opened && !opened.menu.contains(event.target) && event.target !== opened.button) close();
});
