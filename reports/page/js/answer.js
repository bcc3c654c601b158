// Section 1: the market, or any part of it, in any year, against any level.
import { drawExceedance, drawFan } from "./charts.js";
import { money, percent } from "./numbers.js";
import { exceedance, quantile } from "./stats.js";

/** @typedef {{year: number, value: number, place: string} & Record<string, any>} Point what the report says */
/** @typedef {{label: string, fan: Record<string, number[]>}} Compared another run's total, as quantiles by year */

const PROBABILITIES = { q05: 0.05, q25: 0.25, q50: 0.5, q75: 0.75, q95: 0.95 };
const NAMES = { modality: "Treatment", line: "Line", region: "Region", depth: "Failed preventives" };
const SLIDER_STEPS = 400;

/**
 * Set the section up and answer the first question.
 * @param {import("./draws.js").Market} market
 * @param {{money: string, points: Point[], total: Record<string, number[]>, compared: Compared | null}} data where
 *   `total` has the quantiles of the whole market by year as the tables print them, unrounded and of all draws
 */
export function startAnswer(market, data) {
  const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (find(id));
  const [year, level, exact] = [input("ask-year"), input("ask-level"), input("ask-exact")];
  /** @type {import("./draws.js").Chosen} */
  const chosen = {};
  let paths = market.paths(chosen);
  let sorted = paths.map((path) => path.slice().sort());
  let asked = 0;

  const last = market.years.length - 1;
  year.max = String(last);
  year.value = String(last);
  const at = () => Number(year.value);
  const stated = () => data.points.filter((point) => matches(point, chosen, market.dims));
  const statedNow = () => stated().find((point) => point.year === market.years[at()]);
  const whole = () => Object.values(chosen).every((labels) => labels.length === 0);
  const part = () => {
    const named = Object.keys(market.dims).flatMap((dim) => (chosen[dim]?.length ? [chosen[dim].join(" + ")] : []));
    return named.length ? named.join(", ") : "Total market";
  };

  /** The ends of the level's slider for the year asked about. */
  const ends = () => {
    const draws = sorted[at()];
    const [low, high] = [quantile(draws, 0.001), quantile(draws, 0.999)];
    const room = (high - low) * 0.08 || 1;
    return { low: Math.max(0, low - room), high: high + room };
  };

  function answer() {
    const shown = market.years[at()];
    const { low, high } = ends();
    const estimate = exceedance(paths[at()], asked, market.sample);
    find("ask-year-shown").textContent = String(shown);
    level.min = String(low);
    level.max = String(high);
    level.step = String((high - low) / SLIDER_STEPS);
    level.value = String(asked);
    level.setAttribute("aria-valuetext", `${money(asked)} ${data.money}`);
    if (document.activeElement !== exact) exact.value = String(Math.round(asked * 100) / 100);
    find("ask-answer").textContent = `P(${shown} > ${money(asked)}) = ${percent(estimate.value, 1)}`;
    find("ask-error").textContent = `± ${percent(estimate.error, 1)} Monte-Carlo error; ${part()}, ${data.money}`;
    find("ask-answer").dataset.value = String(estimate.value);
    find("ask-answer").dataset.error = String(estimate.error);
    /** @type {any} */
    const quantiles = {};
    for (const [name, p] of Object.entries(PROBABILITIES)) {
      quantiles[name] = whole() ? data.total[name] : sorted.map((draws) => quantile(draws, p));
    }
    drawFan(find("fan"), {
      years: market.years,
      anchors: market.anchors,
      quantiles,
      points: stated(),
      year: shown,
      level: asked,
      title: `${part()} by year, ${data.money}: median, 50 % and 90 % intervals; the table below has the numbers`,
      unit: `${part()}, ${data.money}`,
      other: data.compared && whole() ? data.compared.fan : null,
    });
    drawExceedance(find("exceedance"), {
      sorted: sorted[at()],
      level: asked,
      low,
      high,
      point: statedNow()?.value ?? null,
      title: `The chance that ${part()} is above a level in ${shown}`,
      unit: `Chance that ${part()} in ${shown} is above a level, ${data.money}`,
    });
    return quantiles;
  }

  /** @param {Record<string, number[]>} quantiles */
  function tabulate(quantiles) {
    const rows = market.years.map((shown, k) => {
      const point = stated().find((one) => one.year === shown);
      const row = document.createElement("tr");
      const cell = (/** @type {string | Node} */ content, kind = "") => {
        const made = document.createElement("td");
        made.className = kind;
        made.append(content);
        row.append(made);
      };
      cell(String(shown), "t");
      cell(point ? claimLink(point) : "–", "report");
      cell(money(quantiles.q50[k]), "main");
      cell(`${money(quantiles.q25[k])} – ${money(quantiles.q75[k])}`, "half");
      cell(`${money(quantiles.q05[k])} – ${money(quantiles.q95[k])}`);
      cell(point && point.value > 0 ? percent(exceedance(paths[k], point.value, market.sample).value) : "–");
      if (!market.anchors.includes(shown)) row.className = "between";
      return row;
    });
    find("ask-rows").replaceChildren(...rows);
    find("ask-part").textContent = part();
  }

  /** Take another part of the market, and ask about the report's point on it, or its median. */
  function choose() {
    paths = market.paths(chosen);
    sorted = paths.map((path) => path.slice().sort());
    asked = statedNow()?.value || quantile(sorted[at()], 0.5);
    tabulate(answer());
  }

  for (const [dim, labels] of Object.entries(market.dims)) {
    if (labels.length < 2) continue;
    find("ask-pickers").append(
      picker(dim, labels, (picked) => {
        chosen[dim] = picked.length === labels.length ? [] : picked;
        choose();
      }),
    );
  }
  year.addEventListener("input", () => {
    const { low, high } = ends();
    asked = statedNow()?.value || Math.min(Math.max(asked, low), high);
    answer();
  });
  level.addEventListener("input", () => {
    asked = Number(level.value);
    answer();
  });
  exact.addEventListener("input", () => {
    if (exact.value === "" || !Number.isFinite(Number(exact.value))) return;
    asked = Math.max(0, Number(exact.value));
    answer();
  });
  find("ask").hidden = false;
  choose();
  return () => answer();
}

/**
 * Whether a statement is about exactly the part of the market that is chosen.
 * @param {Point} point
 * @param {import("./draws.js").Chosen} chosen
 * @param {Record<string, string[]>} dims
 */
function matches(point, chosen, dims) {
  return Object.keys(dims).every((dim) => {
    const picked = chosen[dim] ?? [];
    const said = point[dim] ?? null;
    return said === null ? picked.length === 0 : dims[dim].length === 1 || (picked.length === 1 && picked[0] === said);
  });
}

/**
 * A link from a number of the report to its claim.
 * @param {Point} point
 */
function claimLink(point) {
  const link = document.createElement("a");
  link.href = `#${point.place}`;
  link.className = "said";
  link.textContent = money(point.value);
  return link;
}

/**
 * A group of boxes to tick, one for each label; none ticked means all.
 * @param {string} dim
 * @param {string[]} labels
 * @param {(picked: string[]) => void} changed
 */
function picker(dim, labels, changed) {
  const group = document.createElement("fieldset");
  const title = document.createElement("legend");
  title.textContent = NAMES[/** @type {keyof typeof NAMES} */ (dim)] ?? dim;
  group.append(title);
  group.dataset.dim = dim;
  const boxes = labels.map((label) => {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = label;
    const line = document.createElement("label");
    line.append(box, ` ${label}`);
    group.append(line);
    return box;
  });
  group.addEventListener("change", () => changed(boxes.filter((box) => box.checked).map((box) => box.value)));
  return group;
}
