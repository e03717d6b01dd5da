// Telling somebody who looks elsewhere that a run is over. The browser is asked for leave only when a person switches it on.

const SOON_MS = 1200; // in which another page may say that it shows the chat

const channel = new BroadcastChannel("turns");

/** The box of the settings was ticked: ask for leave now, and say what stands in the way. */
export async function ask(box) {
  const note = document.getElementById("browser-note");
  const leave = "Notification" in globalThis ? await Notification.requestPermission() : "missing";
  note.textContent = note.dataset[leave] ?? "";
  if (leave !== "granted") box.checked = false;
}

/** The turn is over, and this page is hidden: tell it once, whatever number of pages follow it, and not at all when one of
 * them is in view. */
export async function tell(turn) {
  if (globalThis.Notification?.permission !== "granted") return;
  await navigator.locks.request(`notice-${turn}`, { ifAvailable: true }, async (lock) => {
    if (!lock || (await isSeen(turn))) return;
    const answer = await fetch(`/turns/${turn}/notice/`, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const { title, text, is_long } = await answer.json();
    if (!is_long) return;
    const notice = new Notification(title, { body: text, tag: turn, lang: document.documentElement.lang });
    notice.onclick = () => {
      globalThis.focus();
      notice.close();
    };
  }).catch((error) => console.warn("could not tell that a run is over", error.message));
}

/** This page shows the end of the turn to somebody. */
export function seen(turn) {
  channel.postMessage(turn);
}

function isSeen(turn) {
  return new Promise((resolve) => {
    const heard = ({ data }) => data === turn && resolve(true);
    channel.addEventListener("message", heard);
    setTimeout(() => {
      channel.removeEventListener("message", heard);
      resolve(false);
    }, SOON_MS);
  });
}
