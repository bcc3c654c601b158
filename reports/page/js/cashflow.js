// Arithmetic of one draw's cash flows: the same formulae as `reports/valuation/cashflow.py`, where they are explained.

/**
 * The integral of a ramp from 0 to 1 over `years`, and of 1 after it, up to `since` years after its start.
 * @param {number} since
 * @param {number} years
 */
export function ramp(since, years) {
  const time = Math.max(since, 0);
  const rising = Math.min(time, years);
  return (years > 0 ? (rising * rising) / (2 * years) : 0) + time - rising;
}

/**
 * What has been spent by a time `since` the start, of amounts each spread over one year.
 * @param {number} since
 * @param {ArrayLike<number>} amounts
 */
export function steps(since, amounts) {
  let spent = 0;
  for (let k = 0; k < amounts.length; k++) spent += amounts[k] * clip(since - k, 0, 1);
  return spent;
}

/**
 * What marginal tiers yield: each rate on the sales from its level up to the next.
 * @param {number} sales
 * @param {ArrayLike<number>} above
 * @param {ArrayLike<number>} rates
 */
export function tiered(sales, above, rates) {
  let due = 0;
  for (let k = 0; k < rates.length; k++) {
    const top = k + 1 < above.length ? above[k + 1] : Infinity;
    due += rates[k] * clip(sales - above[k], 0, top - above[k]);
  }
  return due;
}

/**
 * Write the tax on yearly profits to `due`; losses are "carried forward", "relieved at once" or "lost".
 * @param {Float64Array} profit
 * @param {number} rate
 * @param {string} losses
 * @param {number} limit share of a year's profit that losses carried forward may offset
 * @param {Float64Array} due
 */
export function taxes(profit, rate, losses, limit, due) {
  let balance = 0;
  for (let t = 0; t < profit.length; t++) {
    let taxable = profit[t];
    if (losses !== "relieved at once") taxable = Math.max(taxable, 0);
    if (losses === "carried forward") {
      balance += Math.max(-profit[t], 0);
      const used = Math.min(balance, limit * taxable);
      taxable -= used;
      balance -= used;
    }
    due[t] = taxable * rate;
  }
}

/**
 * Write the cash put into working capital, a share of sales, to `put`; `released`: set free in the last year.
 * @param {Float64Array} sales
 * @param {number} share
 * @param {boolean} released
 * @param {Float64Array} put
 */
export function tiedUp(sales, share, released, put) {
  let before = 0;
  for (let t = 0; t < sales.length; t++) {
    const balance = released && t === sales.length - 1 ? 0 : share * sales[t];
    put[t] = balance - before;
    before = balance;
  }
}

/**
 * The value, once `flow` has been paid, of all that follows it growing at `growth`, for `years` or for ever (null).
 * @param {number} flow
 * @param {number} rate
 * @param {number} growth
 * @param {number | null} years
 */
export function perpetuity(flow, rate, growth, years) {
  if (years === null) return (flow * (1 + growth)) / (rate - growth);
  const gap = rate - growth;
  if (Math.abs(gap) < 1e-9) return flow * years;
  return ((flow * (1 + growth)) / gap) * (1 - ((1 + growth) / (1 + rate)) ** years);
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export function clip(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
