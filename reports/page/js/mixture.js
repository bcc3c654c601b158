// Weights over scenarios: each draw of the market meets each scenario with its probability, as
// `reports/scenarios/tables.py` has it.
import { quantile } from "./stats.js";
import { unpackMoves, unpackRows } from "./unpack.js";

/**
 * @typedef {object} MixtureData
 * @property {string[]} names the base first
 * @property {number[]} years
 * @property {Record<string, number>} weights to begin with
 * @property {import("./unpack.js").PackedRows} base [year, draw]
 * @property {import("./unpack.js").PackedMoves} moves [scenario but the base, year, draw]
 */

/** @typedef {{q05: number, q50: number, q95: number, d05: number, d50: number, d95: number, mean: number,
 *   above: number, below: number}} Mixed figures of one year, as those of a slider's stop */

/** @typedef {{sorted: Float64Array, of: Uint8Array}} Sorted values of all scenarios, and whose each is */

/**
 * All scenarios' values in one order, which no weight changes.
 * @param {Float64Array[]} values by scenario
 * @returns {Sorted}
 */
function together(values) {
  const size = values[0].length;
  const order = new Uint32Array(values.length * size);
  const joined = new Float64Array(order.length);
  values.forEach((one, k) => joined.set(one, k * size));
  for (let i = 0; i < order.length; i++) order[i] = i;
  order.sort((one, other) => joined[one] - joined[other]);
  return { sorted: Float64Array.from(order, (i) => joined[i]), of: Uint8Array.from(order, (i) => Math.floor(i / size)) };
}

/**
 * Quantiles of a mixture; where all that have a weight have the same, those of their draws put together.
 * @param {Sorted} all
 * @param {number[]} weights by scenario, of any sum
 * @param {number[]} probabilities in ascending order
 */
export function mixedQuantiles(all, weights, probabilities) {
  const given = weights.filter((weight) => weight > 0);
  if (given.every((weight) => weight === given[0])) {
    const kept = all.sorted.filter((_, i) => weights[all.of[i]] > 0);
    return probabilities.map((p) => quantile(kept, p));
  }
  const size = all.sorted.length / weights.length;
  const total = size * weights.reduce((sum, weight) => sum + weight, 0);
  const found = [];
  let sum = 0;
  let at = -1;
  for (const p of probabilities) {
    while (at < all.sorted.length - 1 && (at < 0 || sum < p * total * (1 - 1e-12))) sum += weights[all.of[++at]];
    found.push(all.sorted[at]);
  }
  return found;
}

/**
 * Scenarios to be mixed: `mix(weights)` gives the figures of each year.
 * @param {MixtureData} data
 */
export async function openMixture(data) {
  const base = unpackRows(data.base);
  const moves = await unpackMoves(data.moves);
  const years = data.years.map((_, y) => {
    const own = data.names.map((_, k) => (k === 0 ? new Float64Array(base[y].length) : moves[(k - 1) * data.years.length + y]));
    const share = (/** @type {(move: number) => number} */ of) =>
      own.map((one) => one.reduce((sum, move) => sum + of(move), 0) / one.length);
    return {
      levels: together(own.map((one) => one.map((move, d) => base[y][d] + move))),
      moves: together(own),
      mean: share((move) => move),
      above: share((move) => Number(move > 0)),
      below: share((move) => Number(move < 0)),
    };
  });
  /** @param {number[]} weights by scenario, of any sum above zero @returns {Mixed[]} */
  return (weights) => {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const mean = (/** @type {number[]} */ of) => of.reduce((sum, one, k) => sum + weights[k] * one, 0) / total;
    return years.map((year) => {
      const [q05, q50, q95] = mixedQuantiles(year.levels, weights, [0.05, 0.5, 0.95]);
      const [d05, d50, d95] = mixedQuantiles(year.moves, weights, [0.05, 0.5, 0.95]);
      return { q05, q50, q95, d05, d50, d95, mean: mean(year.mean), above: mean(year.above), below: mean(year.below) };
    });
  };
}
