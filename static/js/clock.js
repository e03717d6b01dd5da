// The server's time: a browser's own clock may be hours away from it.

let offset = 0;

/** The server's clock stood at `serverMs` when the page was made. */
export function setClock(serverMs) {
  offset = serverMs - Date.now();
}

export const now = () => Date.now() + offset;
