// The card of a citation while a mouse rests on its number, or on the card. A click or a key opens it for good, as without
// this. Loaded when a mouse first comes upon a number.

const OPEN_MS = 150;
const CLOSE_MS = 250;

let timer = 0;
let hovered = null; // the card that stands open for the mouse alone

/** The mouse is on this number. */
export function rest(pill) {
  const card = document.getElementById(pill.getAttribute("popovertarget"));
  clearTimeout(timer);
  if (!card || card.matches(":popover-open")) return;
  timer = setTimeout(() => {
    if (!pill.matches(":hover")) return;
    card.showPopover({ source: pill });
    hovered = card;
    watch(pill, card);
  }, OPEN_MS);
}

function watch(pill, card) {
  const leave = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (hovered !== card || pill.matches(":hover") || card.matches(":hover") || card.contains(document.activeElement)) return;
      card.hidePopover();
      hovered = null;
    }, CLOSE_MS);
  };
  for (const one of [pill, card]) {
    one.addEventListener("mouseleave", leave);
    card.addEventListener("toggle", ({ newState }) => { if (newState === "closed") one.removeEventListener("mouseleave", leave); });
  }
  pill.addEventListener("click", (event) => { // it stays; the click would close it
    if (hovered !== card) return;
    event.preventDefault();
    hovered = null;
  }, { once: true });
}
