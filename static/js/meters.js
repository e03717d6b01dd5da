// The ring beside the composer: how full the model's context is, as the server counts it.

import { fetchFragment } from "./fragment.js";
import { Unserved } from "./lazy.js";

export async function measure(conversation) {
  const shown = document.getElementById("context");
  if (!shown || !conversation) return;
  try {
    shown.replaceWith(await fetchFragment(`/c/${conversation}/context/`));
  } catch (error) {
    if (!(error instanceof Unserved)) throw error; // the next turn measures again
  }
}
