// On the stage of diagrams: draws one after another. Its library is handed in, its text is a stranger's: Mermaid is
// told to be strict, and no diagram may tell it otherwise.

(() => {
  "use strict";
  const around = window.parent;
  const tell = (said) => around.postMessage(said, location.origin);
  const OURS = ["secure", "securityLevel", "startOnLoad", "maxTextSize", "maxEdges", "suppressErrorRendering"];
  const LOOKS = ["theme", "themeVariables", "themeCSS", "fontFamily", "altFontFamily", "htmlLabels", "darkMode"];
  const MOST_CHARS = 20_000;
  const MOST_EDGES = 250;
  const LONGEST_FAULT = 300;
  let last = Promise.resolve();

  addEventListener("message", ({ source, data }) => {
    if (around === window || source !== around || typeof data !== "object") return;
    if (typeof data.library === "string") begin(data.library);
    else if (typeof data.text === "string") last = last.then(() => draw(data));
  });
  tell({ stage: "ready" });

  function begin(library) {
    const script = document.createElement("script");
    script.textContent = library;
    document.head.append(script);
    tell({ stage: "begun", canDraw: typeof globalThis.mermaid === "object" });
  }

  async function draw({ id, text, colours, font, isDark }) {
    try {
      const { mermaid } = globalThis;
      mermaid.initialize({
        startOnLoad: false,
        securityLevel: "strict",
        suppressErrorRendering: true,
        maxTextSize: MOST_CHARS,
        maxEdges: MOST_EDGES,
        secure: [...OURS, ...LOOKS],
        htmlLabels: false,
        flowchart: { htmlLabels: false },
        theme: "base",
        fontFamily: font,
        themeVariables: looks(colours, font, isDark),
      });
      tell({ id, ...pictureOf((await mermaid.render("drawing", text)).svg) });
    } catch (error) {
      tell({ id, fault: String(error?.message ?? error).slice(0, LONGEST_FAULT) });
    }
  }

  /** One hue in steps, then grey, as everywhere on the site. */
  function looks(colours, fontFamily, darkMode) {
    const { bg, surface, strong, text, muted, line, accent, soft, data } = colours;
    const steps = Object.fromEntries(Array.from({ length: 12 }, (_, at) => [at, data[at % data.length]]));
    const each = (name, value) => Object.fromEntries(Object.entries(steps).map(([at, step]) => [`${name}${at}`, value(step)]));
    return {
      darkMode, fontFamily, fontSize: "14px", background: bg,
      primaryColor: surface, primaryTextColor: text, primaryBorderColor: line,
      secondaryColor: strong, secondaryTextColor: text, secondaryBorderColor: line,
      tertiaryColor: bg, tertiaryTextColor: text, tertiaryBorderColor: line,
      lineColor: muted, textColor: text, titleColor: text, edgeLabelBackground: bg,
      noteBkgColor: soft, noteTextColor: text, noteBorderColor: accent,
      actorLineColor: line, activationBkgColor: strong, activationBorderColor: line, labelBoxBkgColor: surface,
      clusterBkg: bg, clusterBorder: line,
      taskBkgColor: soft, taskTextColor: text, taskTextDarkColor: text, taskTextLightColor: text, taskTextOutsideColor: text, taskBorderColor: accent,
      activeTaskBkgColor: data[1], activeTaskBorderColor: accent, doneTaskBkgColor: strong, doneTaskBorderColor: line,
      critBkgColor: data[2], critBorderColor: accent, sectionBkgColor: surface, altSectionBkgColor: bg, sectionBkgColor2: surface, gridColor: line, todayLineColor: accent,
      ...each("cScale", () => soft), ...each("cScaleLabel", () => text), ...each("cScalePeer", () => line), ...each("cScaleInv", () => muted),
      ...each("pie", (step) => step), pieTitleTextColor: text, pieSectionTextColor: text, pieLegendTextColor: text, pieStrokeColor: bg, pieOuterStrokeColor: line,
      ...each("git", (step) => step), ...each("gitBranchLabel", () => text), commitLabelColor: text, commitLabelBackground: surface,
      ...each("fillType", () => soft),
      xyChart: { backgroundColor: bg, plotColorPalette: data.join(","), titleColor: text, xAxisLabelColor: muted, yAxisLabelColor: muted, xAxisTitleColor: text, yAxisTitleColor: text, xAxisTickColor: line, yAxisTickColor: line, xAxisLineColor: line, yAxisLineColor: line },
    };
  }

  /** As a file of its own: whole XML, of a size that can be known before it is drawn. */
  function pictureOf(markup) {
    const host = document.createElement("div");
    host.innerHTML = markup;
    const svg = host.querySelector("svg");
    const [, , width, height] = (svg.getAttribute("viewBox") ?? "0 0 0 0").split(/[\s,]+/).map(Number);
    if (!(width > 0 && height > 0)) throw new Error("The diagram is empty.");
    svg.setAttribute("width", Math.ceil(width));
    svg.setAttribute("height", Math.ceil(height));
    svg.style.maxWidth = "";
    const name = svg.querySelector(":scope > title")?.textContent ?? "";
    return { svg: new XMLSerializer().serializeToString(svg), name, kind: svg.getAttribute("aria-roledescription") ?? "" };
  }
})();
