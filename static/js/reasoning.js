// Reasoning as it streams: paragraphs of at most 2 KB, so that no block grows without end, and its last line as a preview.
// Of its markup only **strong** and `code` are drawn, when a paragraph is whole, as chat/templatetags/chat_page.py does.

const LONGEST_PARAGRAPH = 2048;
const EMPHASIS = /\*\*(?=\S)(.+?)(?<=\S)\*\*|`([^`\n]+)`/g;

export class ReasoningStream {
  #paragraph = null;
  #text = ""; // of the open paragraph
  #pending = "";

  constructor(body, preview) {
    this.body = body;
    this.preview = preview;
  }

  append(piece) {
    this.#pending += piece;
  }

  draw() {
    if (!this.#pending) return;
    const pieces = (this.#text + this.#pending).split(/\n[ \t]*\n\s*/);
    this.#pending = "";
    const open = pieces.pop();
    for (const piece of pieces) this.#close(piece);
    this.#grow(open);
    const line = (open.trim() || pieces.at(-1) || "").split("\n").at(-1);
    this.preview.textContent = line.slice(-200).replace(/\*\*|`/g, "");
  }

  finish() {
    this.draw();
    this.#close(this.#text.trimEnd());
  }

  #grow(text) {
    while (text.length > LONGEST_PARAGRAPH) {
      const cut = Math.max(text.lastIndexOf(" ", LONGEST_PARAGRAPH), text.lastIndexOf("\n", LONGEST_PARAGRAPH)) + 1 || LONGEST_PARAGRAPH;
      this.#close(text.slice(0, cut));
      text = text.slice(cut);
    }
    if (!this.#paragraph && text.trim()) {
      this.#paragraph = document.createElement("p");
      this.body.append(this.#paragraph);
      text = text.trimStart();
      this.#text = "";
    }
    if (this.#paragraph) this.#extend(text);
    this.#text = text;
  }

  /** New text is appended; the paragraph is drawn anew only when it completes a **strong** or a `code`. */
  #extend(text) {
    const emphases = text.match(EMPHASIS)?.length ?? 0;
    const isPlain = this.#text && emphases === this.#paragraph.childElementCount;
    if (isPlain) this.#paragraph.lastChild.appendData(text.slice(this.#text.length));
    else this.#paragraph.replaceChildren(...emphasised(text));
  }

  #close(text) {
    if (text.trim()) {
      const paragraph = this.#paragraph ?? this.body.appendChild(document.createElement("p"));
      paragraph.replaceChildren(...emphasised(text.trim()));
    } else {
      this.#paragraph?.remove();
    }
    this.#paragraph = null;
    this.#text = "";
  }
}

/** An answer as long as nothing can draw its Markdown. */
export class PlainStream extends ReasoningStream {
  text = "";
  isExact = false;

  constructor(element) {
    super(element, {});
  }

  append(piece) {
    this.text += piece;
    super.append(piece);
  }
}

function* emphasised(text) {
  let done = 0;
  for (const match of text.matchAll(EMPHASIS)) {
    yield text.slice(done, match.index);
    const element = document.createElement(match[1] ? "strong" : "code");
    element.textContent = match[1] ?? match[2];
    yield element;
    done = match.index + match[0].length;
  }
  yield text.slice(done);
}
