// What was said before the messages on the page: fetched as the reader comes near, or when something looks for it.
// What the reader looks at stays where it is.

import { fetchFragment, wake } from "./fragment.js";
import { Unserved } from "./lazy.js";
import { adorn } from "./turn.js";

const marker = () => document.querySelector("#thread > .earlier");

const near = new IntersectionObserver(
  (entries) => {
    if (entries.some(({ isIntersecting }) => isIntersecting)) void fetchMore();
  },
  { root: document.getElementById("scroller"), rootMargin: "1500px 0px 0px" },
);

/** See to the mark at the beginning of the thread, behind which there is more. */
export function attend() {
  near.disconnect();
  if (marker()) near.observe(marker());
}

/** Have all messages from this turn on, or every one. */
export async function reach(turn = "") {
  while (marker() && !(turn && document.getElementById(`turn-${turn}`))) {
    if (!(await fetchMore(turn ? `?since=${turn}` : "?whole"))) return;
  }
}

let coming = null;

/** False when it could not be had. */
function fetchMore(query = "") {
  coming ??= bring(marker(), query).finally(() => (coming = null));
  return coming;
}

async function bring(mark, query) {
  mark.setAttribute("aria-busy", "true");
  try {
    const piece = await fetchFragment(mark.dataset.source + query);
    if (mark.isConnected) put(mark, [...piece.children]);
    return true;
  } catch (error) {
    if (!(error instanceof Unserved)) throw error;
    mark.removeAttribute("aria-busy");
    document.addEventListener("connected", attend, { once: true });
    return false;
  }
}

function put(mark, elements) {
  const scroller = document.getElementById("scroller");
  const anchor = mark.nextElementSibling;
  const isFocused = mark.contains(document.activeElement);
  const before = anchor.getBoundingClientRect().top;
  mark.replaceWith(...elements);
  for (const element of elements) {
    if (element.matches(".turn")) adorn(element);
    wake(element);
  }
  scroller.scrollTop += anchor.getBoundingClientRect().top - before; // nothing, where the browser did it
  if (isFocused) elements.at(-1).querySelector("button, a, summary")?.focus({ preventScroll: true });
  attend();
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("#thread > .earlier a") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  void fetchMore();
});
