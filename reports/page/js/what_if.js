// Section 5: one slider for each driver, which stops where the model was evaluated, and weights over scenarios.
import { drawFan } from "./charts.js";
import { openMixture } from "./mixture.js";
import { fixed, money, percent } from "./numbers.js";

/** @typedef {{label: string} & Record<string, any>} Stop where a slider stops, with lists of figures by year */
/** @typedef {{key: string, label: string, note: string, base: number, stops: Stop[]}} DriverSlider */

/**
 * @typedef {object} WhatIfData
 * @property {number[]} years
 * @property {number[]} anchors
 * @property {string} money
 * @property {DriverSlider[]} drivers
 * @property {import("./mixture.js").MixtureData} mixture
 */

const FAN = /** @type {const} */ (["q05", "q25", "q50", "q75", "q95"]);
const LARGEST_WEIGHT = 20;

/**
 * A difference as a reader sees it: to the fourth digit of the level that it is a difference of.
 * @param {number} difference
 * @param {number} level
 */
function movedBy(difference, level) {
  const text = fixed(Math.abs(difference), level > 0 ? Math.max(0, 3 - Math.floor(Math.log10(level))) : 3);
  return /[1-9]/.test(text) ? (difference > 0 ? "+" : "−") + text : text;
}

/**
 * The figures of a row of the section's tables, by the name of its cell.
 * @param {Record<string, number>} found
 * @returns {Record<string, string>}
 */
function told(found) {
  return {
    median: money(found.q50),
    interval: `${money(found.q05)} – ${money(found.q95)}`,
    mean: movedBy(found.mean, found.q50),
    difference: `${movedBy(found.d05, found.q50)} to ${movedBy(found.d95, found.q50)}`,
    above: percent(found.above),
    below: percent(found.below),
  };
}

/**
 * Write figures into the rows of a table that the page has.
 * @param {Element} table
 * @param {number[]} years
 * @param {Record<string, number>[]} figures by year
 */
function fill(table, years, figures) {
  years.forEach((year, k) => {
    const row = table.querySelector(`[data-year="${year}"]`);
    for (const [name, text] of Object.entries(told(figures[k]))) {
      const cell = row?.querySelector(`[data-cell="${name}"]`);
      if (cell) cell.textContent = text;
    }
  });
}

/**
 * A slider over whole numbers with what it says beside it.
 * @param {string} label
 * @param {string} id
 * @param {{least: number, most: number, at: number, note: string, back: string}} how
 * @param {(at: number) => void} moved
 */
function wholeSlider(label, id, how, moved) {
  const made = document.createElement("div");
  made.className = "slider stops";
  const name = document.createElement("label");
  name.textContent = label;
  name.htmlFor = id;
  const range = document.createElement("input");
  Object.assign(range, { type: "range", id, min: String(how.least), max: String(how.most), step: "1" });
  range.value = String(how.at);
  const shown = document.createElement("output");
  shown.className = "exact";
  shown.htmlFor.add(id);
  const back = document.createElement("button");
  back.type = "button";
  back.textContent = how.back;
  back.setAttribute("aria-label", `${label}: ${how.back}`);
  range.addEventListener("input", () => moved(Number(range.value)));
  back.addEventListener("click", () => moved(how.at));
  made.append(name, range, shown, back);
  if (how.note) {
    const note = document.createElement("span");
    note.className = "stated-as";
    note.id = `${id}-note`;
    note.textContent = how.note;
    range.setAttribute("aria-describedby", note.id);
    made.append(note);
  }
  /** @param {number} at @param {string} text */
  const show = (at, text) => {
    if (range.value !== String(at)) range.value = String(at);
    range.setAttribute("aria-valuetext", text);
    shown.textContent = text;
    made.classList.toggle("changed", at !== how.at);
    back.disabled = at === how.at;
  };
  return { made, show };
}

/**
 * The sliders of the drivers, one moved at a time; returns what draws the fan again.
 * @param {HTMLElement} section
 * @param {WhatIfData} data
 */
function startDrivers(section, data) {
  const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (section.querySelector(selector));
  if (!data.drivers.length) return () => {};
  const as = data.drivers[0].stops[data.drivers[0].base];
  const fan = (/** @type {Stop} */ stop) => /** @type {any} */ (Object.fromEntries(FAN.map((name) => [name, stop[name]])));
  const top = Math.max(...data.drivers.flatMap((driver) => driver.stops.flatMap((stop) => stop.q95)));
  let [asked, at] = [data.drivers[0], data.drivers[0].base];

  function update() {
    const stop = asked.stops[at];
    const still = at === asked.base;
    const last = data.years.length - 1;
    const by = (/** @type {number} */ difference) => movedBy(difference, stop.q50[last]);
    find(".driver-said").textContent = still
      ? "Every driver as the run has it. Move one."
      : `${asked.label}: ${stop.label}. ${data.years[last]}: ${by(stop.mean[last])} on average (90 %: ${by(stop.d05[last])} to ${by(stop.d95[last])}); more in ${percent(stop.above[last])} of the draws, less in ${percent(stop.below[last])}.`;
    const rows = data.anchors.map((year) => data.years.indexOf(year)).map((y) =>
      Object.fromEntries(Object.entries(stop).filter(([name]) => name !== "label").map(([name, of]) => [name, of[y]])),
    );
    fill(find(".driver-figures"), data.anchors, rows);
    controls.forEach((one, k) => {
      const driver = data.drivers[k];
      const here = driver === asked ? at : driver.base;
      one.show(here, driver.stops[here].label);
    });
    drawFan(find(".driver-fan"), {
      years: data.years,
      anchors: data.anchors,
      quantiles: fan(stop),
      points: [],
      year: null,
      level: null,
      top,
      title: `Total market by year, ${data.money}, with ${asked.label}: ${stop.label}; the table below has the numbers`,
      unit: `Total market, ${data.money}`,
      other: fan(as),
    });
  }

  const controls = data.drivers.map((driver, k) => {
    const how = { least: 0, most: driver.stops.length - 1, at: driver.base, note: driver.note, back: "as it is" };
    return wholeSlider(driver.label, `driver-${k}`, how, (to) => {
      [asked, at] = [driver, to];
      update();
    });
  });
  find(".driver-sliders").append(...controls.map((one) => one.made));
  for (const part of section.querySelectorAll(".drivers [hidden]")) /** @type {HTMLElement} */ (part).hidden = false;
  update();
  return update;
}

/**
 * The weights of scenarios and the mixture that they make.
 * @param {HTMLElement} section
 * @param {import("./mixture.js").MixtureData} data
 * @param {(weights: number[]) => Record<string, number>[]} mix
 */
function startMixture(section, data, mix) {
  const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (section.querySelector(selector));
  const first = data.names.map((name) => Math.round(LARGEST_WEIGHT * data.weights[name]));
  const even = first.every((weight) => weight === first[0]);
  const begin = even ? first.map(() => 1) : first;
  const weights = begin.slice();

  function update() {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    find(".mixture-fault").hidden = total > 0;
    controls.forEach((one, k) => one.show(weights[k], percent(total > 0 ? weights[k] / total : 0)));
    if (total > 0) fill(find(".mixture-figures"), data.years, mix(weights));
  }

  const controls = data.names.map((name, k) =>
    wholeSlider(name, `weight-${k}`, { least: 0, most: LARGEST_WEIGHT, at: begin[k], note: "", back: "as at first" }, (to) => {
      weights[k] = to;
      update();
    }),
  );
  find(".mixture-sliders").append(...controls.map((one) => one.made));
  find(".mixture .controls").hidden = false;
  update();
}

/**
 * Set the section up; returns what draws it again.
 * @param {HTMLElement} section
 * @param {WhatIfData} data
 */
export async function startWhatIf(section, data) {
  const redraw = startDrivers(section, data);
  startMixture(section, data.mixture, await openMixture(data.mixture));
  return redraw;
}
