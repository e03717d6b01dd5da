// Pieces of a page from our own server, as elements. The one policy under which HTML text becomes nodes without
// DOMPurify, here and in htmx: what our own templates rendered. It makes no script of any text.

import { Unserved } from "./lazy.js";

const policy = globalThis.trustedTypes?.createPolicy("server-fragment", { createHTML: (html) => html }) ?? { createHTML: (html) => html };

const security = { createHTML: (html) => policy.createHTML(html), createScript: () => "" };
globalThis.htmx.registerExtension("server-fragment", { init: (htmx) => htmx.initSecurity(security) });

export class SignedOut extends Unserved {}

/** The first element of the fragment at this address. Throws SignedOut, or Unserved when it cannot be had. */
export async function fetchFragment(url) {
  return markup(await read(url));
}

/** The first element of what our server has answered. */
export function markup(html) {
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(html);
  return template.content.firstElementChild;
}

async function read(url) {
  try {
    const response = await fetch(url, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
    if (response.redirected) throw new SignedOut();
    if (!response.ok) throw new Unserved(`${url} answered ${response.status}`);
    return await response.text();
  } catch (error) {
    if (error instanceof TypeError) throw new Unserved(`${url} did not answer`, { cause: error });
    throw error;
  }
}

/** Have htmx find its attributes in an element that was just put on the page. */
export function wake(element) {
  globalThis.htmx.process(element);
}
