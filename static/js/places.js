// A sentence of an answer, found by its words and shown to the reader. Loaded when somebody first goes to one.

const SHOWN_MS = 6000;
const WORD = /[\p{L}\p{N}]/u;

let timer = 0;

/** Show the sentence with these words in the answer, or the answer itself where it is not found. */
export function showSentence(answer, words) {
  const range = words ? find(answer, words) : null;
  show(range ?? answer);
  return range;
}

/** Bring it into sight, and mark it for a while: a range without changing the page. */
function show(place) {
  const element = place instanceof Range ? place.startContainer.parentElement : place;
  for (let fold = element.closest("details:not([open])"); fold; fold = fold.parentElement.closest("details:not([open])")) fold.open = true;
  element.scrollIntoView({ block: "center" });
  unmark();
  if (place instanceof Range && globalThis.CSS.highlights) {
    CSS.highlights.set("cited", new Highlight(place));
    timer = setTimeout(unmark, SHOWN_MS);
  } else {
    element.classList.add("is-found");
    timer = setTimeout(() => element.classList.remove("is-found"), SHOWN_MS / 3);
  }
}

export function unmark() {
  clearTimeout(timer);
  globalThis.CSS.highlights?.delete("cited");
}

/** Where the letters of the words stand one after another, whatever stands between them; no pill counts. */
function find(answer, words) {
  const letters = [];
  const walker = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT, ({ parentElement }) => (parentElement.closest(".cite, .doubt__why") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
  let text = "";
  while (walker.nextNode()) {
    const node = walker.currentNode;
    let at = 0;
    for (const sign of node.data) {
      if (WORD.test(sign)) {
        letters.push([node, at, at + sign.length]);
        text += sign.length > 1 ? "\uFFFC" : sign; // one unit a letter, so that places are places in `letters`
      }
      at += sign.length;
    }
  }
  const wanted = [...words].filter((sign) => WORD.test(sign)).map((sign) => (sign.length > 1 ? "\uFFFC" : sign)).join("");
  const start = wanted ? text.indexOf(wanted) : -1;
  if (start < 0) return null;
  const range = new Range();
  range.setStart(letters[start][0], letters[start][1]);
  const [last, , end] = letters[start + wanted.length - 1];
  range.setEnd(last, end);
  return range;
}
