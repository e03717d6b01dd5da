// The site as an app of the device: its service worker, and the button that installs it.

const policy = globalThis.trustedTypes?.createPolicy("service-worker", { createScriptURL: () => "/worker.js" });

let offered = null; // the browser's offer to install, which can be taken once

/** Have the service worker at work; a browser that keeps nothing does without. */
export async function register() {
  try {
    await navigator.serviceWorker?.register(policy?.createScriptURL("") ?? "/worker.js", { updateViaCache: "none" });
  } catch (error) {
    console.warn("no service worker", error.message);
  }
}

/** The browser can install the site: where the page has a button for that, show it. */
export function offer(event) {
  offered = event;
  const button = document.querySelector("[data-install]");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => void install(button));
}

async function install(button) {
  const event = offered;
  offered = null;
  button.hidden = true;
  await event?.prompt();
}
