// Markdown that arrives in pieces. Finished blocks are drawn once and left alone; only the tail is read again, and of a
// very long block only its last part.
// It draws what chat/markdown.py draws, which says what links and images may do.

import { Marked } from "../vendor/marked-18.2.1/index.js";
import { DOMPurify } from "../vendor/dompurify-3.4.18/index.js";
import { decorate } from "./code.js";
import { extension as emphasis } from "./emphasis.js";
import { lazy } from "./lazy.js";
import { extension } from "./tex.js";
import { say } from "./words.js";

const LONGEST_BLOCK = 4096; // beyond, it is shown in parts until the answer's end
const SENTENCE_END = /[.!?。！？]["”’)]?\s/g;

const ALLOWED = {
  ALLOWED_TAGS: [
    ...["p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "br", "strong", "em", "s", "a", "code", "pre"],
    ...["div", "span", "img", "table", "thead", "tbody", "tr", "th", "td"],
  ],
  ALLOWED_ATTR: ["href", "title", "src", "alt", "loading", "start", "class", "scope", "tabindex", "role", "aria-label", "rel", "target"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/[^/?#]|mailto:|files\/|\/artifacts\/)/i,
  ADD_URI_SAFE_ATTR: ["start", "alt", "loading", "scope", "tabindex", "aria-label", "rel", "target"], // no addresses, so not held to the line above
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const ADDRESS = /^(?:https?:\/\/[^/?#]|mailto:)/i;
const AUTHORITY = /^https?:\/\/([^/?#]*)/i;
const ARTIFACT = /^\/artifacts\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\/$/;
const SEGMENT = /^(?:[\w.~+,@()!$'*=-]|%(?!2[ef]|5c|00)[0-9a-f]{2})+$/i;
const PICTURE = /\.(?:png|jpe?g|gif|webp)/i;
const LONGEST = { query: 40, path: 160, host: 60, mailto: 80 };

/** Where an address that names a file of the conversation leads from the conversation's page, or "". */
function ownFile(address) {
  if (ARTIFACT.test(address)) return address;
  const path = address.replace(/^\.\//, "").replace(/^files\//, "");
  const segments = path.split("/");
  const isPath = segments.every((segment) => SEGMENT.test(segment) && segment !== "." && segment !== "..");
  return isPath && segments.at(-1).slice(1).includes(".") ? `files/${path}` : "";
}

function hostOf(address) {
  const authority = AUTHORITY.exec(address)?.[1] ?? "";
  return authority.slice(authority.lastIndexOf("@") + 1).replace(/:\d*$/, "").toLowerCase();
}

function isLong(address) {
  const found = AUTHORITY.exec(address);
  if (!found) return address.length > LONGEST.mailto || address.includes("?");
  const rest = address.slice(found[0].length);
  const query = rest.length - rest.split(/[?#]/, 1)[0].length;
  return query > LONGEST.query || rest.length > LONGEST.path || found[1].length > LONGEST.host || found[1].includes("@");
}

/** The host, unless the words of the link name it themselves, from their beginning to its end. */
function hostToName(address, text) {
  const host = hostOf(address);
  const said = text.trim().toLowerCase().replace(/^https?:\/\//, "");
  return said === host || said.startsWith(`${host}/`) ? "" : host;
}

/** A host in another script by the name that the network knows: no letter may pass for another. */
function inAscii(address) {
  const authority = AUTHORITY.exec(address)?.[1] ?? "";
  if (/^[!-$&-~]*$/.test(authority)) return address; // plain letters, none escaped
  try {
    return address.replace(hostOf(address), new URL(address).hostname);
  } catch {
    return address;
  }
}

function linkOpen(address, title) {
  const titled = title ? ` title="${escape(title)}"` : "";
  const manner = isLong(address) && !ownFile(address) ? ' class="is-long"' : "";
  return `<a href="${escape(ownFile(address) || address)}"${titled}${manner} rel="noopener nofollow noreferrer" target="_blank">`;
}

const linkClose = (host) => (host ? ` <span class="host">${escape(host)}</span></a>` : "</a>");

let isInLink = false;

const escape = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const alignment = (cell) => (cell.align === "right" ? ' class="is-num"' : "");

const renderer = {
  heading({ tokens, depth }) {
    const level = Math.max(3, depth);
    return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
  },
  code({ text, lang }) {
    const name = escape(/^[\w+#.-]{1,30}/.exec(lang ?? "")?.[0] ?? "");
    return (
      `<div class="code"><div class="code__head"><span>${name}</span><span class="spacer"></span></div>` +
      `<pre class="code__body" tabindex="0" role="group" aria-label="${name || escape(say("code"))}"><code>${escape(text)}</code></pre></div>`
    );
  },
  table({ header, rows }) {
    const cells = (row, open) => row.map((cell) => `<${open}${alignment(cell)}>${this.parser.parseInline(cell.tokens)}</${open.slice(0, 2)}>`).join("");
    const body = rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("");
    return (
      `<div class="scroll-x" tabindex="0" role="group" aria-label="${escape(say("table"))}"><table class="table"><thead><tr>` +
      `${cells(header, 'th scope="col"')}</tr></thead><tbody>${body}</tbody></table></div>`
    );
  },
  link({ href, title, tokens, raw }) {
    if (!ADDRESS.test(href) && !ownFile(href)) return escape(raw);
    const address = inAscii(href);
    const words = this.parser.parseInline(tokens, this.parser.textRenderer);
    isInLink = true;
    const text = this.parser.parseInline(tokens);
    isInLink = false;
    return `${linkOpen(address, title)}${text}${linkClose(hostToName(address, words))}`;
  },
  del({ tokens }) {
    return `<s>${this.parser.parseInline(tokens)}</s>`;
  },
  image({ href, text, tokens, raw }) {
    if (!ADDRESS.test(href) && !ownFile(href)) return escape(raw);
    const alt = tokens ? this.parser.parseInline(tokens, this.parser.textRenderer) : text;
    const own = ownFile(href);
    if (own && (own.startsWith("/") || PICTURE.test(own.slice(-5)))) {
      const img = `<img src="${escape(own)}" alt="${escape(alt)}" loading="lazy">`;
      return isInLink ? img : `<a href="${escape(own)}" class="picture" rel="noopener nofollow noreferrer" target="_blank">${img}</a>`;
    }
    if (isInLink) return escape(alt);
    const address = inAscii(href);
    return `${linkOpen(address)}${escape(alt || address)}${linkClose(hostToName(address, alt))}`;
  },
  html: ({ text }) => escape(text),
  checkbox: ({ checked }) => (checked ? "[x] " : "[ ] "),
};

// Bare addresses stay text and tags are no markup, as on the server.
const plain = () => undefined;
const marked = new Marked({ gfm: true, renderer, tokenizer: { url: plain, html: plain, tag: plain } });
const formula = (tex, isApart) => `<code class="math${isApart ? " math--apart" : ""}">${escape(tex)}</code>`;
const framed = (drawn) => `<div class="formula scroll-x" tabindex="0" role="group" aria-label="${escape(say("formula"))}">${drawn}</div>`;
marked.use(extension(formula, framed), emphasis);

const formulas = lazy(() => import("./maths.js"));
let maths = null; // its module, once the first formula has come

// An image loads from the person's own files, or not at all.
DOMPurify.addHook("uponSanitizeAttribute", (node, attribute) => {
  if (node.nodeName === "IMG" && attribute.attrName === "src" && ownFile(attribute.attrValue) !== attribute.attrValue) attribute.keepAttr = false;
});

/** The markdown's nodes, safe to insert; its formulas are drawn as soon as that can be done. */
export function render(text) {
  const drawn = DOMPurify.sanitize(marked.parse(text), ALLOWED);
  if (maths) maths.draw(drawn);
  else if (drawn.querySelector("code.math")) void formulas().then((module) => (maths = module));
  return drawn;
}

/** Draws into `element` what `append` was given, each time `draw` is called. */
export class MarkdownStream {
  text = "";
  isExact = true; // false when the final render may differ from what is shown
  #source = ""; // the text with the line ends that Markdown knows
  #committed = 0;
  #head = ""; // of the table that goes on behind what is committed
  #live = []; // the tail's blocks on show: { raw, nodes }

  constructor(element) {
    this.element = element;
  }

  append(piece) {
    this.text += piece;
    this.#source += piece.replace(/\r\n?/g, "\n");
    if (piece.includes("\r")) this.isExact = false; // a pair may have been parted
  }

  draw() {
    const blocks = this.#read();
    blocks.forEach((block, place) => this.#show(block, place));
    for (const { nodes } of this.#live.splice(blocks.length)) nodes.forEach((node) => node.remove());
    this.#commit(settled(blocks));
  }

  finish() {
    this.draw();
    this.#commit(this.#live.length);
  }

  clear() {
    this.text = "";
    this.#source = "";
    this.#committed = 0;
    this.#head = "";
    this.#live = [];
    this.element.replaceChildren();
  }

  /** The tail's blocks, each with the blank lines that follow it. */
  #read() {
    const blocks = [];
    for (const token of new marked.Lexer(marked.defaults).blockTokens(this.#head + this.#source.slice(this.#committed), [])) {
      if (token.type === "def") this.isExact = false; // what it defines may be used before or long after it
      if (token.type === "space" && blocks.length > 0) {
        blocks.at(-1).raw += token.raw;
        blocks.at(-1).source += token.raw; // what ends in a blank line may be another thing than what just ends
      } else {
        blocks.push(...this.#pieces(token));
      }
    }
    if (this.#head && blocks.length > 0) blocks[0].raw = blocks[0].raw.slice(this.#head.length);
    return blocks;
  }

  /** The block; one that is very long in several, of which all but the last stay as they are. */
  #pieces(token) {
    const { type, raw, text } = token;
    const cuts = raw.length > LONGEST_BLOCK ? (CUTS[type]?.(token) ?? []) : [];
    if (cuts.length === 0) return [{ type, raw, text, source: raw }];
    this.isExact = false;
    const head = type === "table" ? headOf(raw) : "";
    return [...cuts, raw.length].map((end, index) => {
      const piece = raw.slice(cuts[index - 1] ?? 0, end);
      return { type, raw: piece, text: piece, source: index > 0 ? head + piece : piece, head, isCut: index < cuts.length };
    });
  }

  #show(block, place) {
    const shown = this.#live[place];
    if (shown?.source === block.source) {
      this.#live[place] = { ...block, nodes: shown.nodes };
      return;
    }
    if (shown && block.type === "code" && shown.type === "code" && this.#lengthen(shown, block)) return;
    const nodes = Array.from(render(block.source).childNodes).filter((node) => node.nodeType === Node.ELEMENT_NODE);
    if (shown) {
      const next = this.#live[place + 1]?.nodes[0] ?? null;
      shown.nodes.forEach((node) => node.remove());
      nodes.forEach((node) => this.element.insertBefore(node, next));
    } else {
      this.element.append(...nodes);
    }
    this.#live[place] = { ...block, nodes };
  }

  /** An open code block grows by its new text alone, so that a selection in it stays. */
  #lengthen(shown, block) {
    const code = shown.nodes[0]?.querySelector("code");
    if (!code || !block.text.startsWith(shown.text) || shown.raw.split("\n", 1)[0] !== block.raw.split("\n", 1)[0]) return false;
    if (!code.firstChild) code.append("");
    code.firstChild.appendData(block.text.slice(shown.text.length));
    Object.assign(shown, block);
    return true;
  }

  #commit(count) {
    for (const { raw, nodes, isCut, head } of this.#live.splice(0, count)) {
      this.#committed += raw.length;
      this.#head = isCut ? head : "";
      nodes.forEach(decorate);
    }
  }
}

/** How many blocks cannot change any more: those that end in a blank line and have two blocks after them, and the
 * pieces of a long one before its last. */
function settled(blocks) {
  for (let count = blocks.length - 1; count > 0; count--) {
    if (blocks[count - 1].isCut) return count;
    if (count < blocks.length - 1 && /\n[ \t]*\n$/.test(blocks[count - 1].raw)) return count;
  }
  return 0;
}

// Where a very long block is shown in parts: what the parts are depends on what comes before them alone.
const CUTS = {
  paragraph: ({ raw }) => cutsOf(raw, endOfSentence),
  table: ({ raw }) => cutsOf(raw, endOfLine),
  blockquote: ({ raw }) => cutsOf(raw, endOfLine),
  list: ({ items }) => {
    const ends = [];
    let end = 0;
    let begin = 0;
    for (const item of items.slice(0, -1)) {
      end += item.raw.length;
      if (end - begin > LONGEST_BLOCK / 2) ends.push((begin = end));
    }
    return ends;
  },
};

function cutsOf(raw, endOf) {
  const cuts = [];
  for (let begin = 0; raw.length - begin > LONGEST_BLOCK; ) {
    begin += endOf(raw.slice(begin, begin + LONGEST_BLOCK - 512));
    cuts.push(begin);
  }
  return cuts;
}

function endOfSentence(text) {
  let end = 0;
  for (const match of text.matchAll(SENTENCE_END)) end = match.index + match[0].length;
  return end || text.lastIndexOf(" ") + 1 || text.length;
}

const endOfLine = (text) => text.lastIndexOf("\n") + 1 || text.length;

/** The first two lines of a table. */
const headOf = (raw) => /^.*\n.*\n/.exec(raw)?.[0] ?? "";
