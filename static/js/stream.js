// The socket: sends commands, follows turns by their sequence numbers, and comes back by itself after any cut.
// It knows nothing of how a turn looks: events go to the follower that attached to the turn, replies to the page.

const FIRST_RETRY_MS = 500;
const SOON_MS = 2_000; // the longest wait between two tries while the server has not been away for long
const LONG_AWAY_MS = 120_000;
const LAST_RETRY_MS = 15_000;
const PING_MS = 25_000;
const SILENCE_MS = 60_000;
const SIGNED_OUT = 4401;

export class Stream extends EventTarget {
  #socket = null;
  #turns = new Map(); // turn id → { last, apply }
  #unsent = new Map(); // client id → { command, isOut }: no reply has answered it yet
  #retries = 0;
  #lostAt = 0;
  #timer = 0;
  #heardAt = 0;
  #isOver = false;

  /** Events: "state" {isOpen, retryAt}, "accepted", "refused", "signed-out". */
  constructor(path = "/ws/chat/") {
    super();
    this.url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    setInterval(() => this.#beat(), PING_MS);
    addEventListener("online", () => this.retryNow());
    addEventListener("pagehide", () => { this.#isOver = true; this.#socket?.close(); });
    addEventListener("pageshow", (event) => { if (event.persisted) { this.#isOver = false; this.retryNow(); } });
    document.addEventListener("visibilitychange", () => { if (this.isOpen) this.#ping(); else if (!document.hidden) this.retryNow(); });
    this.#connect();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Send a command that starts a turn. It is sent again after a cut, until a reply names its client id. */
  start(command) {
    this.#unsent.set(command.client_id, { command, isOut: this.#post(command) });
  }

  /** Forget a command that never left; false for one that did: the server may have it. */
  withdraw(clientId) {
    return !this.#unsent.get(clientId)?.isOut && this.#unsent.delete(clientId);
  }

  /** Every event of the turn after number `after` goes to `apply`, in order and once. */
  attach(turn, after, apply) {
    this.#turns.set(turn, { last: after, apply });
    this.#post({ op: "turn.attach", turn, after });
  }

  detach(turn) {
    this.#turns.delete(turn);
  }

  /** Ask for the end of a turn; false when there is no connection to ask over. */
  stop(turn) {
    return this.#post({ op: "turn.stop", turn });
  }

  retryNow() {
    if (this.#isOver || this.isOpen || this.#socket?.readyState === WebSocket.CONNECTING) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Connect anew: the person's session is another one now. */
  renew() {
    const old = this.#socket;
    this.#socket = null;
    old?.close();
    this.retryNow();
  }

  #connect() {
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => this.#received(JSON.parse(event.data));
    socket.onclose = (event) => { if (socket === this.#socket) this.#closed(event.code); };
  }

  #opened() {
    this.#retries = this.#lostAt = 0;
    this.#heardAt = Date.now();
    this.#tell("state", { isOpen: true });
    this.#ping();
    for (const [turn, { last }] of this.#turns) this.#post({ op: "turn.attach", turn, after: last });
    for (const one of this.#unsent.values()) one.isOut = this.#post(one.command);
  }

  #closed(code) {
    if (this.#isOver) return;
    if (code === SIGNED_OUT) {
      this.#tell("signed-out", {});
      return;
    }
    this.#lostAt ||= Date.now();
    const longest = Date.now() - this.#lostAt < LONG_AWAY_MS ? SOON_MS : LAST_RETRY_MS;
    const ceiling = Math.min(longest, FIRST_RETRY_MS * 2 ** this.#retries++);
    const wait = Math.max(FIRST_RETRY_MS / 2, Math.random() * ceiling);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#tell("state", { isOpen: false, retryAt: Date.now() + wait });
  }

  /** A connection that died without a word is closed here, so that the retry begins. */
  #beat() {
    if (!this.isOpen) return;
    if (Date.now() - this.#heardAt > SILENCE_MS) {
      const dead = this.#socket;
      this.#socket = null;
      dead.close();
      this.#closed(0);
    } else {
      this.#ping();
    }
  }

  /** Alive; and which chat somebody has in view here, so that they are not told by mail what they see. */
  #ping() {
    this.#post({ op: "ping", watching: (!document.hidden && document.getElementById("main")?.dataset.conversation) || null });
  }

  #post(command) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  /** Events that were there at the same time come in a list. */
  #received(said) {
    this.#heardAt = Date.now();
    for (const frame of Array.isArray(said) ? said : [said]) this.#take(frame);
  }

  #take(frame) {
    if (frame.seq !== undefined) this.#follow(frame);
    else if (frame.type === "turn.accepted") this.#answered("accepted", frame);
    else if (frame.type === "refused") this.#answered("refused", frame);
  }

  #answered(name, frame) {
    // A refusal that names nothing is of a frame that could not be read: of the command, as no other is made by hand.
    const clientId = frame.client_id ?? (frame.turn ? undefined : this.#unsent.keys().next().value);
    const command = this.#unsent.get(clientId)?.command;
    this.#unsent.delete(clientId);
    this.#tell(name, { frame, command });
  }

  /** Numbers are dense: one that was seen is dropped, a gap is asked for again. A snapshot stands for all before it. */
  #follow(frame) {
    const turn = this.#turns.get(frame.turn);
    if (!turn || frame.seq <= turn.last) return;
    if (frame.seq > turn.last + 1 && frame.type !== "turn.snapshot") {
      this.#post({ op: "turn.attach", turn: frame.turn, after: turn.last });
      return;
    }
    turn.last = frame.seq;
    turn.apply(frame);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** A random UUID; `crypto.randomUUID` is missing on plain http. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
