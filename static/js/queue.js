// Messages that wait for the end of the turn under way. They live on the server, which starts their turns; this puts them
// there, shows them, and tells the page when one has become a turn. Loaded with the first of them.

import { fetchFragment, wake } from "./fragment.js";
import { say } from "./words.js";

const LOOK_MS = 800; // while one is about to be sent
const PATIENCE_LOOKS = 40;

const headers = () => JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}");
const shown = () => document.getElementById("queue");
const address = (conversation) => `/c/${conversation}/queue/`;

/** Put a message into the queue, or say it to the turn under way: null, or what stands in the way. */
export async function add(conversation, command, { steers }) {
  let answer;
  try {
    answer = await fetch(`${address(conversation)}${steers ? "?steers" : ""}`, {
      method: "POST",
      headers: { ...headers(), "HX-Request": "true", "Content-Type": "application/json" },
      body: JSON.stringify({ op: "turn.send", ...command }),
      credentials: "same-origin",
    });
  } catch {
    return say("unsent_queue"); // the text is still where it was typed
  }
  if (answer.redirected) document.dispatchEvent(new Event("signed-out"));
  if (answer.status === 200 && !answer.redirected) {
    await refresh(conversation);
    return null;
  }
  return decodeURIComponent(answer.headers.get("X-Fault") ?? "") || say("unsent_queue");
}

/** What waits, as it stands. */
export async function refresh(conversation) {
  try {
    const fresh = await fetchFragment(address(conversation));
    if (shown()?.contains(document.activeElement) && shown().querySelector(".queue__edit:not([hidden])")) return shown();
    shown()?.replaceWith(fresh);
    wake(fresh);
    return fresh;
  } catch (error) {
    console.warn("could not look at the queue", error.message); // it is there: the next look shows it
    return shown();
  }
}

let looking = 0;

/** The turn is over: what waits becomes turns, and `begun` is told of each until one is under way or nothing waits. */
export async function follow(conversation, begun) {
  const round = ++looking;
  for (let look = 0; look < PATIENCE_LOOKS && round === looking; look++) {
    const queue = await refresh(conversation);
    const { turn, running, held } = queue?.dataset ?? {};
    if (turn && !document.getElementById(`turn-${turn}`)) begun();
    if (running !== undefined || held !== undefined || !queue?.querySelector(".queue__row")) return;
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  }
}

// What was said to the turn stands in it from here on.
document.addEventListener("steered", () => { for (const row of document.querySelectorAll(".queue__row:has(.queue__state)")) row.remove(); });

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-queue-edit]");
  if (!button) return;
  const fields = button.closest("form").querySelector(".queue__edit");
  fields.hidden = !fields.hidden;
  button.ariaExpanded = String(!fields.hidden);
  if (!fields.hidden) fields.querySelector("textarea").focus();
});
