// Section 6: a deal re-priced on the same joint draws, with any of its inputs set to a number.
import { drawHistogram } from "./charts.js";
import { fixed, percent, short, withError } from "./numbers.js";
import { outcomes } from "./pricing.js";
import { meanEstimate, ordered, quantileEstimate, weightedMean, weightedQuantile } from "./stats.js";
import { unpackRows } from "./unpack.js";

/**
 * @typedef {object} DealInput
 * @property {string} path
 * @property {string} label
 * @property {string} stated as the deal's file has it
 * @property {string} source
 * @property {boolean} main whether it is shown at once
 * @property {boolean} used whether the deal's value depends on it
 * @property {number | null} value the number, where it is one
 * @property {number} row of its draws, where it is a distribution
 * @property {number} median
 * @property {string} unit fraction, money, year, years or multiple
 * @property {number} low where the slider begins
 * @property {number} high where it ends
 * @property {number} least that a deal's file may say
 * @property {number} most
 */

/**
 * @typedef {object} DealData
 * @property {string} name
 * @property {string} money
 * @property {{chains: number, draws: number}} sample
 * @property {import("./pricing.js").DealShape} shape
 * @property {DealInput[]} inputs
 * @property {import("./unpack.js").PackedRows} rows draws of inputs, then of the market by year
 * @property {number} market the first row of the market
 */

const EVERY = "all draws";
const GIVEN = "given approval";
const LARGE = 1000; // from which money has no decimals

/**
 * A deal whose inputs can be set: `set(path, number)`, or null for as stated; `price()` on all draws.
 * @param {DealData} data
 */
export function openDeal(data) {
  const rows = unpackRows(data.rows);
  const size = data.sample.chains * data.sample.draws;
  const market = rows.slice(data.market);
  /** @type {Map<string, Float64Array>} */
  const stated = new Map();
  for (const one of data.inputs) {
    stated.set(one.path, one.value === null ? rows[one.row] : new Float64Array(size).fill(one.value));
  }
  const current = new Map(stated);
  return {
    stated: (/** @type {string} */ path) => stated.get(path),
    /** @param {string} path @param {number | null} value */
    set(path, value) {
      const given = /** @type {Float64Array} */ (stated.get(path));
      current.set(path, value === null ? given : new Float64Array(size).fill(value));
    },
    price: () => outcomes(data.shape, market, (path) => /** @type {Float64Array} */ (current.get(path))),
  };
}

/**
 * The figures of a priced deal, by "quantity|given" as `postcgrp value` names them.
 * @param {import("./pricing.js").Outcomes} priced
 * @param {{chains: number, draws: number}} sample
 */
export function figures(priced, sample) {
  const { ends, npv, probability } = priced;
  const size = priced.upfront.length;
  const [loss, approved] = [new Float64Array(npv.length), new Float64Array(npv.length)];
  for (let i = 0; i < npv.length; i++) {
    loss[i] = npv[i] < 0 ? 1 : 0;
    approved[i] = i % ends === ends - 1 ? probability[i] : 0;
  }
  const order = ordered(npv, probability);
  /** @type {Record<string, {value: number, error: number}>} */
  const found = {};
  found[`rNPV, mean|${EVERY}`] = weightedMean(npv, probability, sample);
  for (const p of [0.05, 0.5, 0.95]) {
    const name = `NPV, ${Math.round(100 * p)} % quantile|${EVERY}`;
    found[name] = quantileEstimate(npv, probability, order, p, sample);
  }
  found[`P(NPV < 0)|${EVERY}`] = weightedMean(loss, probability, sample);
  const bid = new Float64Array(size);
  for (let d = 0; d < size; d++) {
    bid[d] = priced.upfront[d];
    for (let e = 0; e < ends; e++) bid[d] += probability[d * ends + e] * npv[d * ends + e];
  }
  found[`maximum bid, mean|${EVERY}`] = meanEstimate(bid, sample);
  if (ends > 1) {
    const success = new Float64Array(size);
    for (let d = 0; d < size; d++) success[d] = probability[d * ends + ends - 1];
    found[`P(approval)|${EVERY}`] = meanEstimate(success, sample);
    found[`NPV, mean|${GIVEN}`] = weightedMean(npv, approved, sample);
    found[`P(NPV < 0)|${GIVEN}`] = weightedMean(loss, approved, sample);
  }
  return { found, order };
}

/**
 * Set up one deal's part of the page and price it as stated; returns what prices and draws it again.
 * @param {HTMLElement} section
 * @param {DealData} data
 */
export function startDeal(section, data) {
  const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (section.querySelector(selector));
  const deal = openDeal(data);
  /** @type {Map<string, number>} */
  const changed = new Map();
  /** @type {number | null} */
  let asStated = null;

  function update() {
    const fault = find(".fault");
    /** @type {import("./pricing.js").Outcomes} */
    let priced;
    try {
      priced = deal.price();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      fault.textContent = `Not priced: ${error.message}.`;
      fault.hidden = false;
      return;
    }
    fault.hidden = true;
    const { found, order } = figures(priced, data.sample);
    for (const [name, estimate] of Object.entries(found)) {
      const cell = /** @type {HTMLElement | null} */ (section.querySelector(`[data-figure="${name}"]`));
      if (!cell) continue;
      cell.textContent = formatted(name, estimate);
      cell.dataset.value = String(estimate.value);
      cell.dataset.error = String(estimate.error);
    }
    const now = found[`rNPV, mean|${EVERY}`].value;
    asStated ??= now;
    find(".change").textContent = changed.size
      ? `${changed.size} input${changed.size > 1 ? "s" : ""} changed: rNPV ${fixed(now, digits(now))}, as stated ${fixed(asStated, digits(asStated))} (${now >= asStated ? "+" : ""}${fixed(now - asStated, digits(now - asStated))}).`
      : "All inputs as the deal's file states them.";
    const title = `Value of ${data.name} in every draw, ${data.money}: chance of a loss ${percent(found[`P(NPV < 0)|${EVERY}`].value)}`;
    drawHistogram(find(".histogram"), {
      npv: priced.npv,
      weight: priced.probability,
      ends: priced.ends,
      low: weightedQuantile(order, 0.002),
      high: weightedQuantile(order, 0.998),
      mean: now,
      title,
      unit: `NPV, ${data.money}`,
    });
  }

  for (const one of data.inputs.filter((input) => input.used)) {
    const control = slider(one, (value) => {
      if (value === null) changed.delete(one.path);
      else changed.set(one.path, value);
      deal.set(one.path, value);
      update();
    });
    find(one.main ? ".sliders.first" : ".sliders.more").append(control);
  }
  find(".controls").hidden = false;
  find(".live").hidden = false;
  update();
  return update;
}

/** @param {number} value */
function digits(value) {
  return Math.abs(value) >= LARGE ? 0 : 2;
}

/**
 * @param {string} name
 * @param {{value: number, error: number}} estimate
 */
function formatted(name, estimate) {
  if (name.startsWith("P(")) return `${percent(estimate.value, 1)} ± ${percent(estimate.error, 1)}`;
  return withError(estimate, digits(estimate.value));
}

const SCALES = { fraction: 100, money: 1, year: 1, years: 1, multiple: 1 };
const UNITS = { fraction: "%", money: "", year: "", years: "years", multiple: "×" };
let sliders = 0;

/**
 * A slider and a number for one input; the button takes it back to what the deal states.
 * @param {DealInput} one
 * @param {(value: number | null) => void} changed
 */
function slider(one, changed) {
  const unit = /** @type {keyof typeof SCALES} */ (one.unit);
  const factor = SCALES[unit];
  const made = document.createElement("div");
  made.className = "slider";
  made.dataset.path = one.path;
  const label = document.createElement("label");
  label.textContent = one.label;
  label.title = one.source;
  const range = document.createElement("input");
  range.type = "range";
  range.id = `input-${++sliders}`;
  label.htmlFor = range.id;
  range.min = String(one.low);
  range.max = String(one.high);
  range.step = "any";
  const exact = document.createElement("input");
  exact.type = "number";
  exact.step = "any";
  exact.setAttribute("aria-label", `${one.label}, ${UNITS[unit] || "number"}`);
  const said = document.createElement("span");
  said.className = "stated-as";
  said.textContent = `stated: ${one.stated}`;
  const back = document.createElement("button");
  back.type = "button";
  back.textContent = "as stated";
  back.setAttribute("aria-label", `${one.label}: as stated, ${one.stated}`);
  const places = unit === "fraction" || unit === "year" || unit === "years" ? 1 : 2;

  const show = (/** @type {number} */ value, /** @type {Element | null} */ from) => {
    if (from !== range) range.value = String(value);
    if (from !== exact) exact.value = String(Number((value * factor).toFixed(places)));
    range.setAttribute("aria-valuetext", `${short(value * factor)} ${UNITS[unit]}`);
  };
  const set = (/** @type {number} */ value, /** @type {Element} */ from) => {
    made.classList.add("changed");
    back.disabled = false;
    show(value, from);
    changed(value);
  };
  range.addEventListener("input", () => {
    const step = (one.high - one.low) / 200;
    set(one.low + Math.round((Number(range.value) - one.low) / step) * step, range);
  });
  exact.addEventListener("input", () => {
    const value = Number(exact.value) / factor;
    const outside = exact.value === "" || !Number.isFinite(value) || value < one.least || value > one.most;
    exact.setAttribute("aria-invalid", String(outside));
    if (!outside) set(value, exact);
  });
  back.addEventListener("click", () => {
    made.classList.remove("changed");
    back.disabled = true;
    exact.setAttribute("aria-invalid", "false");
    show(one.median, null);
    changed(null);
  });
  back.disabled = true;
  show(one.median, null);
  const number = document.createElement("span");
  number.className = "exact";
  number.append(exact, UNITS[unit]);
  made.append(label, range, number, said, back);
  return made;
}
