// Pieces of a page from our own server, as elements. The one policy under which HTML text becomes nodes without
// DOMPurify, here and in htmx: what our own templates rendered. It makes no script of any text.

const policy = globalThis.trustedTypes?.createPolicy("server-fragment", { createHTML: (html) => html }) ?? { createHTML: (html) => html };

const security = { createHTML: (html) => policy.createHTML(html), createScript: () => "" };
globalThis.htmx.registerExtension("server-fragment", { init: (htmx) => htmx.initSecurity(security) });

export class SignedOut extends Error {}

/** The first element of the fragment at this address. Throws SignedOut, or Error when it cannot be had. */
export async function fetchFragment(url) {
  const response = await fetch(url, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
  if (response.redirected) throw new SignedOut();
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(await response.text());
  return template.content.firstElementChild;
}

/** Have htmx find its attributes in an element that was just put on the page. */
export function wake(element) {
  globalThis.htmx.process(element);
}
