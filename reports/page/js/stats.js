// Statistics of draws; those with Monte-Carlo errors follow `inference/diagnostics.py` and `reports/valuation/tables.py`.

/** @typedef {{chains: number, draws: number}} Sample shape behind draws in the order chain, then draw */
/** @typedef {{value: number, error: number}} Estimate a figure and its Monte-Carlo standard error */

/**
 * Quantiles of sorted values, linear between them as `numpy.quantile` has them.
 * @param {ArrayLike<number>} sorted
 * @param {number} probability
 */
export function quantile(sorted, probability) {
  const at = probability * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/** @param {ArrayLike<number>} values */
export function mean(values) {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total / values.length;
}

/**
 * Effective sample size of draws for their mean: split chains, autocovariances summed by Geyer's rules
 * (Vehtari et al. 2021, Bayesian Analysis 16(2), section 3.2).
 * @param {ArrayLike<number>} values
 * @param {Sample} sample
 */
export function essMean(values, sample) {
  const half = Math.floor(sample.draws / 2);
  const chains = 2 * sample.chains;
  const size = chains * half;
  /** @type {Float64Array[]} */
  const centred = [];
  const means = new Float64Array(chains);
  for (let c = 0, k = 0; c < sample.chains; c++) {
    for (const start of [c * sample.draws, (c + 1) * sample.draws - half]) {
      let total = 0;
      for (let i = 0; i < half; i++) total += values[start + i];
      const middle = total / half;
      means[k++] = middle;
      const chain = new Float64Array(half);
      for (let i = 0; i < half; i++) chain[i] = values[start + i] - middle;
      centred.push(chain);
    }
  }
  const covariance = (/** @type {number} */ lag) => {
    let total = 0;
    for (const chain of centred) {
      for (let i = lag; i < half; i++) total += chain[i] * chain[i - lag];
    }
    return total / (chains * half);
  };
  const first = covariance(0);
  const within = (first * half) / (half - 1);
  const middle = mean(means);
  const between = means.reduce((sum, one) => sum + (one - middle) ** 2, 0) / (chains - 1);
  const total = first + between;
  if (!(total > 0)) return size;
  const correlation = (/** @type {number} */ lag) => (lag === 0 ? 1 : 1 - (within - covariance(lag)) / total);
  const last = Math.max(Math.floor((half - 3) / 2), 0);
  let sum = 0;
  let least = Infinity;
  let even = 1;
  let pair = 0;
  for (let k = 0; ; k++) {
    even = correlation(2 * k);
    pair = even + correlation(2 * k + 1);
    if (k === last || Math.min(least, pair) <= 0) break;
    least = Math.min(least, pair);
    sum += least;
  }
  const time = 2 * sum - 1 + (pair >= 0 ? even : Math.max(even, 0));
  return size / Math.max(time, 1 / Math.log10(size));
}

/**
 * Mean of draws with its Monte-Carlo standard error (section 4.2); 0 for a constant.
 * @param {ArrayLike<number>} values
 * @param {Sample} sample
 * @returns {Estimate}
 */
export function meanEstimate(values, sample) {
  const middle = mean(values);
  let square = 0;
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    square += (value - middle) * (value - middle);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (high - low <= 1e-12 * Math.max(Math.abs(low), Math.abs(high))) return { value: middle, error: 0 };
  return { value: middle, error: Math.sqrt(square / (values.length - 1) / essMean(values, sample)) };
}

/**
 * The chance that a draw is above a level.
 * @param {ArrayLike<number>} values
 * @param {number} level
 * @param {Sample} sample
 */
export function exceedance(values, level, sample) {
  const above = new Uint8Array(values.length);
  for (let i = 0; i < above.length; i++) above[i] = values[i] > level ? 1 : 0;
  return meanEstimate(above, sample);
}

/**
 * Weighted mean of values [draw, outcome], with the error of a ratio of means by its influence function.
 * @param {Float64Array} values
 * @param {Float64Array} weights
 * @param {Sample} sample
 * @returns {Estimate}
 */
export function weightedMean(values, weights, sample) {
  const size = sample.chains * sample.draws;
  const ends = values.length / size;
  let total = 0;
  let weight = 0;
  for (let i = 0; i < values.length; i++) {
    total += weights[i] * values[i];
    weight += weights[i];
  }
  const middle = total / weight;
  const influence = new Float64Array(size);
  for (let d = 0; d < size; d++) {
    for (let k = 0; k < ends; k++) influence[d] += weights[d * ends + k] * (values[d * ends + k] - middle);
    influence[d] /= weight / size;
  }
  return { value: middle, error: meanEstimate(influence, sample).error };
}

const BUCKETS = 4096;
const CROWD = 48; // values in one bucket, from which comparing neighbours takes too long

/**
 * Values in order with the share of weight up to each, from which any number of quantiles can be read.
 *
 * Sorted by buckets of equal width, then within each: five times as fast as sorting indices by a comparison.
 * @param {Float64Array} values
 * @param {Float64Array} weights
 */
export function ordered(values, weights) {
  const size = values.length;
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < size; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  const scale = high > low ? (BUCKETS - 1) / (high - low) : 0;
  const ends = new Uint32Array(BUCKETS + 1);
  const bucket = new Uint16Array(size);
  for (let i = 0; i < size; i++) {
    bucket[i] = Math.floor((values[i] - low) * scale);
    ends[bucket[i] + 1]++;
  }
  for (let b = 0; b < BUCKETS; b++) ends[b + 1] += ends[b];
  const order = new Uint32Array(size);
  const next = ends.slice();
  for (let i = 0; i < size; i++) order[next[bucket[i]]++] = i;
  for (let b = 0; b < BUCKETS; b++) {
    if (ends[b + 1] - ends[b] > CROWD) {
      order.subarray(ends[b], ends[b + 1]).sort((one, other) => values[one] - values[other]);
      continue;
    }
    for (let i = ends[b] + 1; i < ends[b + 1]; i++) {
      const moved = order[i];
      let to = i;
      for (; to > ends[b] && values[order[to - 1]] > values[moved]; to--) order[to] = order[to - 1];
      order[to] = moved;
    }
  }
  const sorted = new Float64Array(size);
  const upto = new Float64Array(size);
  let sum = 0;
  for (let i = 0; i < size; i++) {
    sorted[i] = values[order[i]];
    upto[i] = sum += weights[order[i]];
  }
  for (let i = 0; i < size; i++) upto[i] /= sum;
  return { sorted, upto };
}

/**
 * The smallest value with at least `probability` of the weight up to it.
 * @param {{sorted: Float64Array, upto: Float64Array}} order
 * @param {number} probability
 */
export function weightedQuantile(order, probability) {
  const wanted = probability * (1 - 1e-12);
  let low = 0;
  let high = order.upto.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order.upto[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return order.sorted[Math.min(low, order.sorted.length - 1)];
}

/**
 * A weighted quantile with its Monte-Carlo error: half the distance between the quantiles a standard error apart.
 * @param {Float64Array} values
 * @param {Float64Array} weights
 * @param {{sorted: Float64Array, upto: Float64Array}} order
 * @param {number} probability
 * @param {Sample} sample
 * @returns {Estimate}
 */
export function quantileEstimate(values, weights, order, probability, sample) {
  const here = weightedQuantile(order, probability);
  const below = new Float64Array(values.length);
  for (let i = 0; i < below.length; i++) below[i] = values[i] <= here ? 1 : 0;
  const error = weightedMean(below, weights, sample).error;
  const clip = (/** @type {number} */ p) => Math.min(Math.max(p, order.upto[0]), 1);
  const ends = [clip(probability - error), clip(probability + error)].map((p) => weightedQuantile(order, p));
  return { value: here, error: (ends[1] - ends[0]) / 2 };
}
