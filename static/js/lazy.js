// Parts of the page that come with their first use. While no server is there they cannot: nothing breaks, what waits for
// a part goes on once it has come.

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15_000;
const PATIENCE_MS = 8000; // of somebody who pressed a key

/** The server did not give what was asked for: it is away, or answered with a fault. */
export class Unserved extends Error {}

/** A function that promises the module which `load` imports. It is asked for until it comes: the promise is not refused
 * for want of a connection. */
export function lazy(load) {
  let coming = null;
  return () => (coming ??= persistently(load));
}

async function persistently(load) {
  for (let wait = FIRST_RETRY_MS; ; wait = Math.min(2 * wait, LAST_RETRY_MS)) {
    try {
      return await load();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it came, and is no module
      console.warn("a part of the page has not come yet", error.message);
      await chance(wait);
    }
  }
}

/** The next moment to ask again: the connection is back, or so many milliseconds have passed (Infinity: never). */
export function chance(wait) {
  return new Promise((resolve) => {
    if (wait < Infinity) setTimeout(resolve, wait);
    addEventListener("online", resolve, { once: true });
    document.addEventListener("connected", resolve, { once: true });
  });
}

let actions = 0;

/** What a person asked for, done with the part once it is there: not when they did something else since, nor long after. */
export async function act(part, use) {
  const action = ++actions;
  const askedAt = performance.now();
  const module = await part();
  if (action !== actions || performance.now() - askedAt > PATIENCE_MS) return;
  try {
    await use(module);
  } catch (error) {
    if (!(error instanceof Unserved)) throw error;
    console.warn("could not load what was asked for", error.message);
  }
}
