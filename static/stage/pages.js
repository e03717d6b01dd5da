// On the stage of pages: becomes the page that it is given, once, with what each is given before its own scripts.

(() => {
  "use strict";
  const { given } = document.currentScript.dataset;
  const around = window.parent;
  const PLACES = [/<head(?:\s[^>]{0,2000})?>/i, /<html(?:\s[^>]{0,2000})?>/i, /^\s*<!doctype[^>]{0,2000}>/i];
  const SEARCHED = 100_000; // letters at the start of a page in which its head is looked for

  addEventListener("message", ({ source, data }) => {
    if (around === window || source !== around || typeof data?.page !== "string") return;
    const { page } = data;
    const found = PLACES.map((place) => place.exec(page.slice(0, SEARCHED))).find(Boolean);
    const at = found ? found.index + found[0].length : 0;
    document.open(); // takes this listener away
    document.write(page.slice(0, at) + given + page.slice(at));
    document.close();
  });
  around.postMessage({ stage: "ready" }, location.origin);
})();
