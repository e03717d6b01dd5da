// What can be measured of a page's look: a list of what is wrong with it. Run in the page, with the theme's name.
(theme) => {
  const faults = [];
  const say = (what, element) => faults.push(`${what}: ${describe(element)}`);
  const describe = (element) => `${element.tagName.toLowerCase()}.${[...element.classList].join(".")} “${element.textContent.trim().slice(0, 40)}”`;
  const near = (a, b, by = 1) => Math.abs(a - b) <= by;
  const phone = innerWidth < 640;

  const isSeen = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })
    && !element.closest(".hidden-label, .skip, .copied, .katex, svg, iframe") && element.offsetWidth !== 1;
  const hidesSideways = (element) => getComputedStyle(element).overflowX !== "visible";
  const inside = (element, upTo = document.body) => {
    for (let at = element.parentElement; at && at !== upTo; at = at.parentElement) {
      if (hidesSideways(at)) return true;
    }
    return false;
  };

  // Nothing is wider than the window, and nothing scrolls sideways but tables, code and formulas.
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} wide in ${innerWidth}`);
  for (const box of document.querySelectorAll(".main, .page, .panel, .panel__body, .sidebar__list, .dialog, .palette, .menu, .app, main")) {
    if (isSeen(box) && box.scrollWidth > box.clientWidth + 1) say(`${box.scrollWidth - box.clientWidth} px too wide for .${box.className}`, widest(box));
  }

  function widest(box) {
    const edge = box.getBoundingClientRect().right + 1;
    return [...box.querySelectorAll("*")].findLast((one) => one.getBoundingClientRect().right > edge && !inside(one, box)) ?? box;
  }

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  const range = document.createRange();
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || element.matches("script, style, option, textarea, template") || !isSeen(element)) continue;
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (!box.width) continue;
    const style = getComputedStyle(element);
    // No text under 12 px; none of it white in the dark; figures that line up.
    if (parseFloat(style.fontSize) < 12 && !seen.has(element)) say(`text of ${style.fontSize}`, element);
    if (theme === "dark" && style.color === "rgb(255, 255, 255)") say("white text", element);
    if (element.matches("time, .num, .meta *, .stat dd, td.is-num") && !style.fontVariantNumeric.includes("tabular-nums")) say("figures not tabular", element);
    // Text is not cut: it ends in an ellipsis, wraps or scrolls.
    if (!inside(element) && (box.right > innerWidth + 1 || box.left < -1)) say("text beyond the window", element);
    if (style.overflowX === "hidden" && style.textOverflow !== "ellipsis" && element.scrollWidth > element.clientWidth + 1) say("text cut", element);
    seen.add(element);
  }

  // Words of one button or line stay on one line, and in it.
  for (const button of document.querySelectorAll(".button, .chip, .badge, .switch, .segmented__item, .tabs a")) {
    if (!isSeen(button)) continue;
    if (button.scrollWidth > button.clientWidth + 1) say("words wider than their button", button);
  }
  // What is pressed most is large enough for a thumb.
  if (phone) {
    for (const target of document.querySelectorAll(".button--primary, .topbar > .icon-button, .topbar__head > .button, #attach, #send, .sidebar .row, .menu__item, .palette .hit")) {
      if (!isSeen(target)) continue;
      const { width, height } = target.getBoundingClientRect();
      if (height < 43.5 || width < 43.5) say(`a target of ${Math.round(width)} × ${Math.round(height)}`, target);
    }
  }

  // Text and composer share their edges, and stand in the middle.
  const main = document.querySelector(".main");
  const column = document.querySelector(".thread .column");
  const composer = document.querySelector("#composer");
  if (main && column && isSeen(column)) {
    const [outer, text] = [main.getBoundingClientRect(), column.getBoundingClientRect()];
    if (!near(text.left - outer.left, outer.right - text.right, 2)) say("not in the middle", column);
    if (outer.width > 800 && (text.width < 680 || text.width > 760)) say(`a column of ${text.width}`, column);
    if (composer && isSeen(composer)) {
      const dock = composer.getBoundingClientRect();
      if (!near(dock.left, text.left) || !near(dock.right, text.right)) say("not as wide as the text", composer);
    }
  }
  for (const answer of document.querySelectorAll(".turn > .reply > .stepped .answer p")) {
    if (isSeen(answer) && !answer.closest(".fold, .lane") && getComputedStyle(answer).fontSize !== "16px") say("an answer not of 16 px", answer);
  }

  // Icons of one weight; one hue, beside those of states; the dark ground.
  const strokes = new Set([...document.querySelectorAll("svg.icon")].filter(isSeenIcon).map((icon) => getComputedStyle(icon).strokeWidth));
  if (strokes.size > 1) faults.push(`icons of several weights: ${[...strokes]}`);
  function isSeenIcon(icon) { return icon.checkVisibility(); }
  const hues = new Map();
  for (const element of document.querySelectorAll("body, body *")) {
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    for (const colour of [style.color, style.backgroundColor]) {
      const hue = hueOf(colour);
      if (hue !== null && !hues.has(hue)) hues.set(hue, element);
    }
  }
  for (const [hue, element] of hues) {
    const isBlue = hue >= 200 && hue <= 225;
    const isState = (hue >= 0 && hue <= 12) || (hue >= 30 && hue <= 45) || (hue >= 125 && hue <= 150);
    if (!isBlue && !isState) say(`another hue, ${hue}°`, element);
  }
  function hueOf(colour) {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    const [most, least] = [Math.max(r, g, b), Math.min(r, g, b)];
    if (a < 0.1 || most - least < 24) return null;
    const part = most === r ? ((g - b) / (most - least) + 6) % 6 : most === g ? (b - r) / (most - least) + 2 : (r - g) / (most - least) + 4;
    return Math.round(part * 60) % 360;
  }
  const ground = getComputedStyle(document.body).backgroundColor;
  const root = getComputedStyle(document.documentElement).backgroundColor;
  if (theme === "dark" && !/^rgb\(18, 18, 18\)$/.test(root) && !/^rgb\(18, 18, 18\)$/.test(ground)) faults.push(`the dark ground is ${root}, ${ground}`);
  return [...new Set(faults)];
}
