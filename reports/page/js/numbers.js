// Numbers as readers see them, as `reports/forecast/numbers.py` and the template have them.

const THOUSANDS = 1000;

/**
 * A number to so many digits; from a thousand on whole, its thousands set apart.
 * @param {number} number
 * @param {number} digits
 */
export function short(number, digits = 3) {
  if (!Number.isFinite(number)) return "–";
  const rounded = Number(number.toPrecision(digits)) + 0;
  return minus(Math.abs(rounded) >= THOUSANDS ? grouped(number, 0) : String(rounded));
}

/** @param {number} number */
export function money(number) {
  return Number.isFinite(number) ? minus(grouped(number, 0)) : "–";
}

/**
 * @param {number} number
 * @param {number} digits
 */
export function fixed(number, digits) {
  return Number.isFinite(number) ? minus(grouped(number, digits)) : "–";
}

/**
 * A fraction in per cent.
 * @param {number} share
 * @param {number} digits
 */
export function percent(share, digits = 0) {
  return Number.isFinite(share) ? `${minus(grouped(100 * share, digits))} %` : "–";
}

/**
 * A figure with its Monte-Carlo error, to as many decimals as the figure has.
 * @param {{value: number, error: number}} estimate
 * @param {number} digits
 */
export function withError(estimate, digits) {
  if (!Number.isFinite(estimate.value)) return "–";
  return fixed(estimate.value, digits) + (estimate.error > 0 ? ` ± ${fixed(estimate.error, digits)}` : "");
}

/**
 * @param {number} number
 * @param {number} digits
 */
function grouped(number, digits) {
  // Halves go to the even digit, as Python writes them: a figure reads alike before and after the scripts ran.
  const scaled = number * 10 ** digits;
  const floor = Math.floor(scaled);
  const even = scaled - floor === 0.5 && floor % 2 === 0 ? floor / 10 ** digits : number;
  const text = even.toFixed(digits);
  const [whole, part] = (Number(text) === 0 ? text.replace("-", "") : text).split(".");
  const apart = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return part === undefined ? apart : `${apart}.${part}`;
}

/** @param {string} text */
function minus(text) {
  return text.replace("-", "−");
}
