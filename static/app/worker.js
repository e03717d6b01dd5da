// The service worker. `site` is said by the server before it (webapp/installable.py). It answers for two things: files
// whose names are made of what they hold, which it keeps, and pages when the server cannot be reached. Everything else
// it does not touch, and nothing of a person is kept.

const NAME = `site-${site.version}`;
const lasting = new RegExp(site.lasting);

addEventListener("install", (event) => {
  event.waitUntil(fill());
  skipWaiting(); // pages come from the server, so no old one can hold on to an old worker
});

addEventListener("activate", (event) => {
  event.waitUntil(begin());
});

async function begin() {
  await registration.navigationPreload?.enable();
  for (const name of await caches.keys()) if (name !== NAME) await caches.delete(name);
  await clients.claim();
}

async function fill() {
  const cache = await caches.open(NAME);
  await cache.addAll(site.shell.map((address) => new Request(address, { cache: "reload", credentials: "omit" })));
}

addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (pathname.startsWith(site.files)) {
    if (lasting.test(pathname)) event.respondWith(kept(request));
    else if (site.shell.includes(pathname)) event.respondWith(fetch(request).catch(() => caches.match(request)));
  } else if (request.mode === "navigate" && request.destination === "document") {
    event.respondWith(page(event));
  }
});

async function kept(request) {
  const cache = await caches.open(NAME);
  const found = await cache.match(request);
  if (found) return found;
  const response = await fetch(request);
  if (response.status === 200 && response.type === "basic") await cache.put(request, response.clone()).catch(() => {}); // full
  return response;
}

async function page({ request, preloadResponse }) {
  try {
    return (await preloadResponse) ?? (await fetch(request));
  } catch {
    return (await caches.match(site.offline)) ?? Response.error();
  }
}

// Who signs out leaves what a first visit would.
addEventListener("message", (event) => {
  if (event.data === "signed-out") event.waitUntil(caches.delete(NAME).then(fill));
});
