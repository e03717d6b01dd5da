// When things are drawn: all that waits at once, in one animation frame, at most 30 times a second (4 when nobody looks).
// It keeps the end of the thread in sight while the reader is there, and never moves them otherwise.

const SHORTEST_MS = 33;
const HIDDEN_MS = 250;
const NEAR_PX = 64;

const waiting = new Set();
let isScheduled = false;
let drawnAt = 0;
let costMs = 0;

/** Have `view.draw()` called soon. */
export function repaint(view) {
  waiting.add(view);
  if (isScheduled) return;
  isScheduled = true;
  // A slow machine gets time between two drawings: they take a quarter of it at most.
  const pause = document.hidden ? HIDDEN_MS : Math.max(SHORTEST_MS, 4 * costMs) - (performance.now() - drawnAt);
  if (document.hidden) setTimeout(paint, pause);
  else if (pause > 4) setTimeout(() => requestAnimationFrame(paint), pause - 4);
  else requestAnimationFrame(paint);
}

function paint() {
  const start = performance.now();
  isScheduled = false;
  const views = [...waiting];
  waiting.clear();
  for (const view of views) view.draw();
  follower?.keep();
  drawnAt = performance.now();
  costMs = drawnAt - start;
}

class Follower {
  #isFollowing = true;
  #top = 0;

  constructor(scroller, jump) {
    this.scroller = scroller;
    this.jump = jump;
    scroller.addEventListener("scroll", () => this.#moved(), { passive: true });
    scroller.addEventListener("load", () => this.keep(), true); // of a picture
    jump.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.keep()).observe(scroller);
  }

  keep() {
    if (!this.#isFollowing) {
      this.#offer();
      return;
    }
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#top = this.scroller.scrollTop; // less than was set: more may have come when its event does
  }

  get isFollowing() {
    return this.#isFollowing;
  }

  toEnd() {
    this.#isFollowing = true;
    this.keep();
    this.jump.hidden = true;
  }

  /** Show this element, and stay there. */
  to(element) {
    this.#isFollowing = false;
    element.scrollIntoView();
    this.#top = this.scroller.scrollTop;
    this.#offer();
  }

  #moved() {
    const top = this.scroller.scrollTop;
    if (top < this.#top - 2 && this.#rest() > 2) this.#isFollowing = false;
    else if (this.#rest() <= NEAR_PX) this.#isFollowing = true;
    this.#top = top;
    this.#offer();
  }

  #offer() {
    this.jump.hidden = this.#isFollowing || this.#rest() <= NEAR_PX;
  }

  #rest() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight;
  }
}

let follower = null;

/** Follow the end of this scroller; returns what can go `toEnd` and `to` an element. */
export function follow(scroller, jump) {
  follower = new Follower(scroller, jump);
  return follower;
}

/** Something came that is not drawn with the text: the end stays in sight for who is there. */
export const keepInSight = () => follower?.keep();

/** Whether the reader is at the end, where new text appears. */
export const isFollowing = () => follower?.isFollowing ?? false;
