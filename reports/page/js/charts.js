// The charts that answer a slider: a fan over years, a curve of exceedance, a histogram of value.
import { money, percent, short } from "./numbers.js";
import { linear, shape, through, ticks } from "./svg.js";

/** @typedef {{width: number, height: number, left: number, right: number, top: number, bottom: number}} Frame */

/**
 * The frame of a chart for a width on the screen.
 * @param {number} width
 * @param {number} height
 * @returns {Frame}
 */
function frame(width, height) {
  return { width, height, left: 54, right: width < 500 ? 46 : 60, top: 12, bottom: 26 };
}

/**
 * A whole chart in its container, in place of what was there.
 * @param {Element} container
 * @param {Frame} box
 * @param {string} title read aloud
 * @param {string} heading above it
 * @param {Node[]} marks
 */
function show(container, box, title, heading, marks) {
  const attributes = { viewBox: `0 0 ${box.width} ${box.height}`, role: "img", class: "chart live", width: box.width };
  const above = document.createElement("p");
  above.className = "heading";
  above.textContent = heading;
  container.replaceChildren(above, shape("svg", attributes, [shape("title", {}, [title]), ...marks]));
}

/**
 * Horizontal lines and their labels.
 * @param {Frame} box
 * @param {import("./svg.js").Scale} y
 * @param {number[]} values
 * @param {(value: number) => string} label
 */
function levels(box, y, values, label) {
  return values.flatMap((value) => [
    shape("line", { x1: box.left, x2: box.width - box.right, y1: y(value), y2: y(value), class: "grid" }),
    shape("text", { x: box.left - 8, y: y(value) + 4, class: "tick end" }, [label(value)]),
  ]);
}

/**
 * Labels below a chart.
 * @param {Frame} box
 * @param {import("./svg.js").Scale} x
 * @param {number[]} values
 * @param {(value: number) => string} label
 */
function below(box, x, values, label) {
  const y = box.height - box.bottom + 18;
  return values.map((value) => shape("text", { x: x(value), y, class: "tick middle" }, [label(value)]));
}


/**
 * @typedef {object} FanData
 * @property {number[]} years
 * @property {number[]} anchors
 * @property {Record<"q05" | "q25" | "q50" | "q75" | "q95", number[]>} quantiles by year
 * @property {{year: number, value: number}[]} points the report's
 * @property {number | null} year the year asked about
 * @property {number | null} level the level asked about
 * @property {number} [top] that the scale reaches at least
 * @property {string} title
 * @property {string} unit
 * @property {Record<string, number[]> | null} other the same quantiles of the run compared with
 */

/**
 * A fan over years: bands, the median, the report's points, and the level asked about.
 * @param {Element} container
 * @param {FanData} data
 */
export function drawFan(container, data) {
  const box = frame(container.clientWidth, container.clientWidth < 500 ? 260 : 340);
  const { years, quantiles } = data;
  const other = data.other ? data.other.q95 : [];
  const top = Math.max(...quantiles.q95, ...data.points.map((point) => point.value), data.level ?? 0, data.top ?? 0, ...other) * 1.05 || 1;
  const x = linear(years[0], years[years.length - 1], box.left + 8, box.width - box.right - 4);
  const y = linear(0, top, box.height - box.bottom, box.top);
  const line = (/** @type {number[]} */ values) =>
    /** @type {[number, number][]} */ (values.map((value, k) => [x(years[k]), y(value)]));
  const band = (/** @type {number[]} */ low, /** @type {number[]} */ high) =>
    `${through([...line(high), ...line(low).reverse()])}Z`;
  const marks = [
    ...levels(box, y, ticks(0, top), money),
    ...below(box, x, data.anchors, String),
    shape("path", { d: band(quantiles.q05, quantiles.q95), class: "band90" }),
    shape("path", { d: band(quantiles.q25, quantiles.q75), class: "band50" }),
  ];
  if (data.other) {
    for (const name of ["q05", "q50", "q95"]) {
      marks.push(shape("path", { d: through(line(data.other[name])), class: name === "q50" ? "other main" : "other" }));
    }
  }
  marks.push(shape("path", { d: through(line(quantiles.q50)), class: "median" }));
  const asked = (/** @type {Record<string, number>} */ ends) => shape("line", { ...ends, class: "asked" });
  if (data.year !== null) marks.push(asked({ x1: x(data.year), x2: x(data.year), y1: y(0), y2: box.top }));
  if (data.level !== null) {
    marks.push(asked({ x1: box.left, x2: box.width - box.right, y1: y(data.level), y2: y(data.level) }));
  }
  marks.push(
    ...data.points.map((point) => shape("circle", { cx: x(point.year), cy: y(point.value), r: 4.5, class: "report" })),
  );
  const last = years.length - 1;
  for (const name of /** @type {const} */ (["q05", "q50", "q95"])) {
    const value = quantiles[name][last];
    marks.push(shape("text", { x: box.width - box.right + 4, y: y(value) + 4, class: "tick" }, [money(value)]));
  }
  show(container, box, data.title, data.unit, marks);
}

/**
 * The chance of more than any level, as a curve, with the level asked about.
 * @param {Element} container
 * @param {{sorted: Float32Array, level: number, low: number, high: number, point: number | null, title: string,
 *   unit: string}} data
 */
export function drawExceedance(container, data) {
  const box = frame(container.clientWidth, 240);
  const x = linear(data.low, data.high, box.left, box.width - box.right);
  const y = linear(0, 1, box.height - box.bottom, box.top);
  const steps = 120;
  /** @type {[number, number][]} */
  const places = [];
  let at = 0;
  for (let k = 0; k <= steps; k++) {
    const level = data.low + ((data.high - data.low) * k) / steps;
    while (at < data.sorted.length && data.sorted[at] <= level) at++;
    places.push([x(level), y(1 - at / data.sorted.length)]);
  }
  let above = 0;
  for (const value of data.sorted) if (value > data.level) above++;
  const share = above / data.sorted.length;
  const marks = [
    ...levels(box, y, [0, 0.25, 0.5, 0.75, 1], percent),
    ...below(box, x, ticks(data.low, data.high, box.width < 500 ? 4 : 7), money),
    shape("path", { d: `${through([[x(data.low), y(0)], ...places, [x(data.high), y(0)]])}Z`, class: "band90" }),
    shape("path", { d: through(places), class: "median" }),
  ];
  if (data.point !== null && data.point >= data.low && data.point <= data.high) {
    marks.push(shape("line", { x1: x(data.point), x2: x(data.point), y1: y(0), y2: y(1), class: "stated" }));
  }
  marks.push(
    shape("line", { x1: x(data.level), x2: x(data.level), y1: y(0), y2: y(1), class: "asked" }),
    shape("circle", { cx: x(data.level), cy: y(share), r: 5, class: "here" }),
  );
  show(container, box, data.title, data.unit, marks);
}

/**
 * A histogram of value, stacked by how the deal ends; losses and gains stand apart at zero.
 * @param {Element} container
 * @param {{npv: Float64Array, weight: Float64Array, ends: number, low: number, high: number, mean: number,
 *   title: string, unit: string}} data
 */
export function drawHistogram(container, data) {
  const box = frame(container.clientWidth, 260);
  const bins = Math.min(60, Math.max(24, Math.floor(box.width / 14)));
  const margin = 0.02 * (data.high - data.low) || 1;
  const [low, high] = [Math.min(data.low - margin, 0), Math.max(data.high + margin, 0)];
  const size = (high - low) / bins;
  const shares = new Float64Array(bins * data.ends);
  let total = 0;
  for (let i = 0; i < data.npv.length; i++) {
    total += data.weight[i];
    const bin = Math.min(Math.max(Math.floor((data.npv[i] - low) / size), 0), bins - 1);
    shares[bin * data.ends + (i % data.ends)] += data.weight[i];
  }
  const heights = Array.from({ length: bins }, (_, b) => {
    let sum = 0;
    for (let e = 0; e < data.ends; e++) sum += shares[b * data.ends + e];
    return sum / total;
  });
  const x = linear(low, high, box.left, box.width - box.right);
  const top = Math.max(...heights) * 1.08;
  const y = linear(0, top, box.height - box.bottom, box.top);
  const marks = [
    ...levels(box, y, ticks(0, top, 4), (share) => percent(share, top < 0.05 ? 1 : 0)),
    ...below(box, x, ticks(low, high, box.width < 500 ? 4 : 7), (value) => short(value)),
  ];
  for (let b = 0; b < bins; b++) {
    let from = 0;
    for (let e = 0; e < data.ends; e++) {
      const share = shares[b * data.ends + e] / total;
      if (share === 0) continue;
      const loss = low + (b + 0.5) * size < 0;
      const kind = `${loss ? "loss" : "gain"} ${e === data.ends - 1 ? "" : "failed"}`;
      const height = y(from) - y(from + share);
      const width = Math.max(x(low + size) - x(low) - 1, 1);
      marks.push(shape("rect", { x: x(low + b * size), width, y: y(from + share), height, class: kind }));
      from += share;
    }
  }
  marks.push(
    shape("line", { x1: x(0), x2: x(0), y1: y(0), y2: box.top, class: "zero" }),
    shape("line", { x1: x(data.mean), x2: x(data.mean), y1: y(0), y2: box.top, class: "asked" }),
  );
  show(container, box, data.title, data.unit, marks);
}
