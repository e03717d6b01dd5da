// What a reader of the page would see, as plain HTML: run in a world of its own, where the page's scripts
// cannot have changed what the words mean. Shadow trees are taken in, what is hidden is left out.
(function seen(maxElements, maxChars) {
  const kept = ["href", "id", "class", "role", "colspan", "rowspan", "datetime", "lang", "open", "hidden",
    "aria-hidden", "start", "alt", "title"];
  const never = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "IFRAME", "OBJECT", "EMBED", "CANVAS",
    "SVG", "svg", "LINK", "META", "VIDEO", "AUDIO", "SELECT", "TEXTAREA", "INPUT"]);
  const empty = new Set(["BR", "HR", "IMG", "WBR", "COL"]);
  const pieces = [];
  let chars = 0;
  let elements = 0;
  let isWhole = true;

  const put = (text) => { pieces.push(text); chars += text.length; };
  const escaped = (text) =>
    text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");

  function colour(text) {
    const found = /^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/.exec(text);
    return found && { face: `${found[1]},${found[2]},${found[3]}`, alpha: found[4] === undefined ? 1 : +found[4] };
  }

  // Its words cannot be read, though an element inside it may be.
  function isMute(style, behind) {
    if (style.visibility !== "visible" || parseFloat(style.fontSize) < 2) return true;
    const ink = colour(style.color);
    return Boolean(ink) && (ink.alpha < 0.05 || (behind !== null && ink.face === behind));
  }

  function isGone(element, style) {
    if (style.display === "none" || parseFloat(style.opacity) < 0.05) return true;
    if (style.contentVisibility === "hidden") return true;
    if (style.display === "contents") return false;
    const box = element.getBoundingClientRect();
    const right = box.right + scrollX;
    const bottom = box.bottom + scrollY;
    const isOut = style.position !== "static" && (right < 0 || bottom < 0 || box.left > 20000);
    const isCut = style.overflow !== "visible" && (box.width < 2 || box.height < 2);
    return isOut || isCut || /^(rect\(0|rect\(1px, 1px|inset\((50|100)%)/.test(style.clip + style.clipPath) ||
      parseFloat(style.textIndent) < -500;
  }

  function children(node) {
    if (node.shadowRoot) return node.shadowRoot.childNodes;
    if (node.nodeName === "SLOT") {
      const given = node.assignedNodes({ flatten: true });
      if (given.length) return given;
    }
    return node.childNodes;
  }

  function open(element) {
    let words = `<${element.localName}`;
    for (const name of kept) {
      const value = element.getAttribute(name);
      if (value !== null) words += ` ${name}="${escaped(name === "href" ? String(element.href) : value)}"`;
    }
    put(`${words}>`);
  }

  function walk(root, behind) {
    // A stack of our own: a page may be deeper than the engine's.
    const todo = [{ node: root, behind, isMute: false }];
    while (todo.length) {
      const at = todo.pop();
      if (at.end) { put(at.end); continue; }
      if (elements > maxElements || chars > maxChars) { isWhole = false; continue; }
      const node = at.node;
      if (node.nodeType === Node.TEXT_NODE) {
        if (!at.isMute) put(escaped(node.data));
        continue;
      }
      if (node.nodeType !== Node.ELEMENT_NODE || never.has(node.nodeName)) continue;
      elements += 1;
      const style = getComputedStyle(node);
      if (isGone(node, style)) continue;
      const paper = colour(style.backgroundColor);
      const image = style.backgroundImage !== "none";
      const under = image ? null : paper && paper.alpha > 0.5 ? paper.face : at.behind;
      const isMuteHere = isMute(style, under);
      open(node);
      if (empty.has(node.nodeName)) continue;
      todo.push({ end: `</${node.localName}>` });
      const inside = children(node);
      for (let i = inside.length - 1; i >= 0; i -= 1) {
        todo.push({ node: inside[i], behind: under, isMute: isMuteHere });
      }
    }
  }

  put(`<html lang="${escaped(document.documentElement.lang)}"><head><title>${escaped(document.title)}</title>`);
  for (const meta of document.querySelectorAll("meta[content]")) {
    const name = meta.getAttribute("name") || meta.getAttribute("property") || meta.getAttribute("itemprop");
    if (name && pieces.length < 100) {
      put(`<meta name="${escaped(name.slice(0, 100))}" content="${escaped(meta.content.slice(0, 500))}">`);
    }
  }
  put("</head>");
  if (document.body) walk(document.body, "255,255,255");
  put("</html>");
  return { html: pieces.join(""), isWhole };
})
