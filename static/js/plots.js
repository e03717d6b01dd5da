// Stacked bars of days, drawn by uPlot from the figures that the server wrote beside the table of the same ones.
import { uPlot } from "../vendor/uplot-1.6.32/index.js";

const HEIGHT = 220;

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colour as canvas reads it: a canvas does not know light-dark(). */
function colour(name, host) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  host.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** Each series on top of those before it; the tallest is drawn first, so that the others stand before it. */
function stacked(series) {
  const sums = [];
  let below = series[0].values.map(() => 0);
  for (const { values } of series) {
    below = below.map((sum, index) => sum + values[index]);
    sums.unshift(below);
  }
  return sums;
}

function draw(host) {
  const { days, series, unit } = JSON.parse(host.dataset.plot);
  const text = colour("--text-faint", host);
  const line = colour("--line", host);
  const font = `12px ${token("--font") || "sans-serif"}`;
  const show = new Intl.NumberFormat(document.documentElement.lang, { notation: "compact", maximumSignificantDigits: 3 });
  const day = new Intl.DateTimeFormat(document.documentElement.lang, { day: "numeric", month: "short" });
  const bars = uPlot.paths.bars({ size: [0.56, 48] });
  const one = (index) => {
    const fill = colour(`--data-${Math.min(series.length - index, 4)}`, host);
    return { label: series[series.length - 1 - index].name, fill, stroke: fill, width: 0, paths: bars, points: { show: false } };
  };
  const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const options = {
    width: host.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { range: (_plot, first, last) => [first - 43_199, last + 43_199] }, y: { range: (_plot, _low, high) => [0, high || 1] } },
    series: [{}, ...series.map((_series, index) => one(index))],
    axes: [
      { ...axis, grid: { show: false }, values: (_plot, values) => values.map((value) => day.format(value * 1000)) },
      { ...axis, size: 64, values: (_plot, values) => values.map((value) => `${unit}${show.format(value)}`) },
    ],
  };
  host.replaceChildren();
  return new uPlot(options, [days, ...stacked(series)], host);
}

for (const host of document.querySelectorAll("[data-plot]")) {
  let plot = draw(host);
  new ResizeObserver(() => plot.setSize({ width: host.clientWidth, height: HEIGHT })).observe(host);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    plot.destroy();
    plot = draw(host);
  });
}
