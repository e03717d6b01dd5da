// Emphasis beside Chinese, Japanese and Korean text, for marked: the rule of agents/writing/emphasis.py.

const CJK = "\\u1100-\\u11ff\\u2e80-\\u2fff\\u3001-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7ff\\uf900-\\ufaff\\ufe10-\\ufe1f\\ufe30-\\ufe6f\\uff01-\\uffee\\u{20000}-\\u{3ffff}";
const SIGN = "(?!\\*)[\\p{P}\\p{S}]";
// A sign at a run of asterisks that is CJK itself, or has a CJK character on the run's other side.
const UNCOUNTED = new RegExp(
  `${SIGN}(?:(?<=[${CJK}])(?:(?=\\*)|(?<=\\*.))|(?=\\*+[${CJK}])|(?<=[${CJK}]\\*+.))`,
  "gu",
);
// As marked's own, whose second group is what follows asterisks that may open.
const OPENS = /^\*+([^\s\S])?([^\s*])/u;

const letters = (sign) => "a".repeat(sign.length);

let strict = null; // marked's rules; they are the same for every text

/** Begins with asterisks: read with the sign behind or before them as the masked text has it. */
function emStrong(src, masked, before) {
  const own = Object.getPrototypeOf(this).emStrong;
  const was = this.rules;
  strict ??= was;
  const at = masked.length - src.length;
  const end = /^\**/.exec(src)[0].length;
  const follows = end > 0 && end < src.length && masked[at + end] === "a" && src[end] !== "a";
  this.rules = follows ? { ...strict, inline: { ...strict.inline, emStrongLDelim: OPENS } } : strict;
  try {
    return own.call(this, src, masked, end > 0 && before !== "*" && masked[at - 1] === "a" ? "a" : before);
  } finally {
    this.rules = was;
  }
}

/** What marked is given. */
export const extension = {
  tokenizer: { emStrong },
  hooks: { emStrongMask: (src) => src.replace(UNCOUNTED, letters) },
};
