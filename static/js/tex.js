// Where a text holds TeX, for marked: as chat/maths.py reads it, which says what is a formula and what a price.

const LONGEST = 4000;

const DOLLARS = /^\$\$((?:\\[^]|[^\\$`])+)\$\$/;
const DOLLAR = /^\$(?![\s$])((?:\\[^]|[^\\$`])*[^\s\\$`]|(?:\\[^]|[^\\$`])*\\\S)\$(?![0-9$])/;
const ROUND = /^\\\(((?:\\[^()[\]`]|[^\\`])+)\\\)/;
const SQUARE = /^\\\[((?:\\[^()[\]`]|[^\\`])+)\\\]/;
const PRICE = /^[0-9][^\\^_{}=]*\s[A-Za-z]{2}/;
const BLOCK_DOLLARS = /^\$\$((?:\\[^]|[^\\$])+)\$\$[ \t]*$/;
const BLOCK_SQUARE = /^\\\[((?:\\[^[\]]|[^\\])+)\\\][ \t]*$/;
const CLOSES = { $$: "$$", "\\[": "\\]" };

const inline = {
  name: "math",
  level: "inline",
  start: (src) => src.search(/\$|\\[([]/),
  tokenizer(src, tokens) {
    if (src[0] === "$" && /[A-Za-z0-9]$/.test(tokens.at(-1)?.raw ?? "")) return undefined; // US$5
    const text = src.slice(0, LONGEST);
    const apart = DOLLARS.exec(text) ?? SQUARE.exec(text);
    const found = apart ?? DOLLAR.exec(text) ?? ROUND.exec(text);
    if (!found || !found[1].trim()) return undefined;
    if (!apart && src[0] === "$" && PRICE.test(found[1])) return undefined;
    return { type: "math", raw: found[0], text: found[1].trim(), isApart: Boolean(apart) };
  },
};

const block = {
  name: "formula",
  level: "block",
  start: (src) => src.search(/\n {0,3}(?:\$\$|\\\[)/),
  tokenizer(src) {
    const close = CLOSES[/^ {0,3}(\$\$|\\\[)/.exec(src)?.[1]];
    if (!close) return undefined;
    const { lines, isClosed, isLast } = gather(src, close);
    const raw = lines.join("\n");
    const bare = lines.map((line) => line.trimStart()).join("\n");
    const tex = isClosed ? (BLOCK_DOLLARS.exec(bare) ?? BLOCK_SQUARE.exec(bare))?.[1] : isLast && lines[0].trim() in CLOSES ? bare.slice(2) : undefined;
    return tex === undefined ? undefined : { type: "formula", raw, text: tex.trim() };
  },
};

/** The lines to the one that ends in `close`, or to the first that cannot be among them. */
function gather(src, close) {
  const lines = [];
  let at = 0;
  while (at < src.length) {
    const end = src.indexOf("\n", at) < 0 ? src.length : src.indexOf("\n", at);
    const line = src.slice(at, end);
    if (line.trim() === "") return { lines, isClosed: false, isLast: false };
    lines.push(line);
    at = end + 1;
    if (at > LONGEST) return { lines, isClosed: false, isLast: false };
    if (line.trimEnd().endsWith(close) && (lines.length > 1 || line.trim().length > close.length + 2)) return { lines, isClosed: true, isLast: false };
  }
  return { lines, isClosed: false, isLast: true };
}

const masked = (found) => "a".repeat(found.length);

/** What marked is given to read formulas; `draw` makes HTML of a formula's TeX in a line or apart, `frame` of one drawn. */
export const extension = (draw, frame) => ({
  extensions: [
    { ...inline, renderer: ({ text, isApart }) => draw(text, isApart) },
    { ...block, renderer: ({ text }) => frame(draw(text, true)) },
  ],
  hooks: { emStrongMask: (src) => src.replace(/\$\$?(?![\s$])(?:\\[^]|[^\\$`])+\$\$?(?![0-9$])/g, masked) },
});
