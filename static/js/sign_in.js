// Signing in again where one is, in the dialog that says that the session has ended: the page stays as it is, its text too.

import { fetchFragment, markup } from "./fragment.js";

const ADDRESS = "/sign-in/here/";

/** Put the form into the dialog, in place of the link to the page; `signedIn` is told once it went well. */
export async function offer(dialog, signedIn) {
  const body = dialog.querySelector(".dialog__body");
  if (body.querySelector("form[data-token]")) return;
  show(body, await fetchFragment(ADDRESS), signedIn);
}

function show(body, form, signedIn) {
  body.querySelector("form[data-token]")?.remove();
  for (const old of body.querySelectorAll(":scope > .dialog__actions")) old.hidden = true;
  body.append(form);
  (form.querySelector("[aria-invalid=true], input[name=password]") ?? form).focus();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(body, form, signedIn);
  });
}

async function send(body, form, signedIn) {
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  try {
    const response = await fetch(ADDRESS, { method: "POST", body: new FormData(form), credentials: "same-origin" });
    const answer = markup(await response.text());
    if (response.ok && answer.dataset.user) signedIn(answer.dataset.user, answer.dataset.token);
    else show(body, answer, signedIn);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    button.disabled = false; // the server is away: the person tries again
  }
}
