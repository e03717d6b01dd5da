// The server's side of drafts: one request at a time for each conversation, so that none overtakes another.

const KEEPALIVE_BYTES = 60_000; // a page that closes may still send so much
const running = new Map(); // conversation → the request under way

export const token = () => JSON.parse(document.body.getAttribute("hx-headers:inherited") ?? "{}")["X-CSRFToken"] ?? "";

/** Have the server keep this draft; `missed` is called when it could not: it is pushed again with the next change, or when
 * the connection is back. */
export async function push(drafts, conversation, missed) {
  await running.get(conversation);
  const request = send(drafts, conversation, missed);
  running.set(conversation, request);
  await request;
  if (running.get(conversation) === request) running.delete(conversation);
}

async function send(drafts, conversation, missed) {
  const { text, files, base } = drafts.state(conversation);
  const body = JSON.stringify({ text, files, base, conversation });
  try {
    const response = await fetch("/drafts/", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": token() },
      credentials: "same-origin",
      keepalive: body.length < KEEPALIVE_BYTES,
      body,
    });
    if (response.redirected) document.dispatchEvent(new Event("signed-out"));
    if (response.ok && !response.redirected) drafts.kept(conversation, await response.json(), { text, files });
    else if (response.redirected || response.status >= 500 || response.status === 403) missed();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    missed(); // the server is away; the device has it
  }
}

/** Whether the message that was on its way when the last page ended has come in. */
export async function ask(drafts, conversation) {
  const { sent } = drafts.state(conversation);
  const query = new URLSearchParams({ conversation: conversation || "", sent: sent.id });
  try {
    const response = await fetch(`/drafts/?${query}`, { credentials: "same-origin" });
    if (response.ok && !response.redirected && (await response.json()).was_sent) drafts.forgetSent(conversation);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}
