// One deal on every joint draw: the same steps as `reports/valuation/pricing.py`, draw by draw.
import { clip, perpetuity, ramp, steps, taxes, tiedUp, tiered } from "./cashflow.js";

const MILLION = 1e6;

/**
 * What a deal is, without its numbers, as `reports/page/deals.py` describes it.
 * @typedef {object} DealShape
 * @property {number[]} years from the valuation on
 * @property {number} valued the valuation as a calendar year with a fraction
 * @property {number[]} times from the valuation to each year's flow
 * @property {boolean} price whether the deal has a price of its own: the market is then people treated, else revenue
 * @property {boolean} exclusivity whether it is lost at some time
 * @property {number} royalty tiers received; none means a margin
 * @property {number} royalty_paid tiers paid
 * @property {string} losses
 * @property {{name: string, stage: string | null, from_year: number | null, years: number}[]} costs
 * @property {{name: string, on: string | null, received: boolean}[]} milestones
 * @property {{name: string, start: boolean}[]} phases
 * @property {{kind: string, years: boolean} | null} terminal
 */

/** @typedef {(path: string) => ArrayLike<number>} Inputs a value of an input on every draw, by its path */

/**
 * @typedef {object} Outcomes
 * @property {number} ends how many ways there are to end: each phase fails, or, last, all are taken
 * @property {Float64Array} probability [draw, end]
 * @property {Float64Array} npv [draw, end]
 * @property {Float64Array} upfront [draw]
 * @property {Float64Array} launch [draw]
 * @property {Float64Array} peak [draw], the highest yearly net sales when approved
 * @property {Float64Array | null} flows [draw, end, year], after tax, without the upfront and what lies beyond the
 *   window, where they were asked for
 */

/**
 * Price a deal in each way it can end, in millions.
 * @param {DealShape} deal
 * @param {Float64Array[]} market [year][draw], from the valuation on: revenue (million), or people treated
 * @param {Inputs} inputs
 * @param {boolean} keepFlows
 * @returns {Outcomes}
 */
export function outcomes(deal, market, inputs, keepFlows = false) {
  const { years, valued, times } = deal;
  const [size, span, last] = [market[0].length, years.length, deal.phases.length];
  const ends = last + 1;
  const names = deal.phases.map((phase) => phase.name);
  const lower = years.map((year) => Math.max(year, valued));
  const upper = years.map((year) => year + 1);
  const all = (/** @type {string} */ stem, /** @type {number} */ n, tail = "") =>
    Array.from({ length: n }, (_, k) => inputs(`${stem}[${k + 1}]${tail}`));

  const launchYear = inputs("captured.launch_year");
  const rampYears = inputs("captured.ramp_years");
  const peakShare = inputs("captured.peak_share");
  const kept = inputs("captured.share_kept");
  const lost = deal.exclusivity ? inputs("captured.loss_of_exclusivity") : null;
  const net = inputs("captured.net");
  const price = deal.price ? inputs("captured.price") : null;
  const margin = deal.royalty ? null : inputs("economics.margin");
  const earned = { above: all("economics.royalty", deal.royalty, ".above"), rate: all("economics.royalty", deal.royalty, ".rate") };
  const owed = {
    above: all("economics.royalty_paid", deal.royalty_paid, ".above"),
    rate: all("economics.royalty_paid", deal.royalty_paid, ".rate"),
  };
  const upfront = inputs("economics.upfront");
  const taxRate = inputs("economics.tax_rate");
  const lossLimit = inputs("economics.loss_limit");
  const workingCapital = inputs("economics.working_capital");
  const discount = inputs("discounting.rate");
  const costs = deal.costs.map((cost) => ({
    ...cost,
    reached: cost.stage === null ? 0 : cost.stage === "launch" ? last : names.indexOf(cost.stage),
    amounts: all(`economics.cost.${cost.name}.by_year`, cost.years),
  }));
  const milestones = deal.milestones.map((milestone) => ({
    ...milestone,
    amount: inputs(`economics.milestone.${milestone.name}.amount`),
    level: milestone.on === null ? inputs(`economics.milestone.${milestone.name}.net_sales_above`) : null,
    phase: milestone.on === "approval" ? last - 1 : names.indexOf(milestone.on ?? ""),
  }));
  const phases = deal.phases.map((phase) => ({
    probability: inputs(`risk.phase.${phase.name}.probability`),
    duration: inputs(`risk.phase.${phase.name}.duration`),
    start: phase.start ? inputs(`risk.phase.${phase.name}.start`) : null,
  }));
  const terminal = deal.terminal && {
    growth: deal.terminal.kind === "growth" ? inputs("terminal.growth") : null,
    years: deal.terminal.years ? inputs("terminal.years") : null,
    multiple: deal.terminal.kind === "multiple" ? inputs("terminal.multiple") : null,
  };

  /** @type {Outcomes} */
  const out = {
    ends,
    probability: new Float64Array(size * ends),
    npv: new Float64Array(size * ends),
    upfront: Float64Array.from(upfront),
    launch: new Float64Array(size),
    peak: new Float64Array(size),
    flows: keepFlows ? new Float64Array(size * ends * span) : null,
  };
  const sales = new Float64Array(span);
  const income = new Float64Array(span);
  const profit = Array.from({ length: ends }, () => new Float64Array(span));
  // Reused from draw to draw: making small arrays takes longer than filling them.
  const [tax, tied, factor] = [new Float64Array(span), new Float64Array(span), new Float64Array(span)];
  const [starts, finishes] = [new Float64Array(last), new Float64Array(last)];
  const here = {
    earnedAbove: new Float64Array(deal.royalty),
    earnedRate: new Float64Array(deal.royalty),
    owedAbove: new Float64Array(deal.royalty_paid),
    owedRate: new Float64Array(deal.royalty_paid),
    amounts: costs.map((cost) => new Float64Array(cost.years)),
  };
  const at = (/** @type {ArrayLike<number>[]} */ arrays, /** @type {number} */ d, /** @type {Float64Array} */ into) => {
    for (let k = 0; k < into.length; k++) into[k] = arrays[k][d];
    return into;
  };

  for (let d = 0; d < size; d++) {
    let clock = valued;
    let taken = 1;
    for (let k = 0; k < last; k++) {
      const { probability, duration, start } = phases[k];
      starts[k] = start ? Math.max(clock, start[d]) : clock;
      clock = starts[k] + duration[d];
      finishes[k] = clock;
      out.probability[d * ends + k] = taken * (1 - probability[d]);
      taken *= probability[d];
    }
    out.probability[d * ends + last] = taken;
    const launch = last ? Math.max(launchYear[d], clock) : launchYear[d];
    out.launch[d] = launch;

    const [earnedAbove, earnedRate] = [at(earned.above, d, here.earnedAbove), at(earned.rate, d, here.earnedRate)];
    const [owedAbove, owedRate] = [at(owed.above, d, here.owedAbove), at(owed.rate, d, here.owedRate)];
    const rising = rampYears[d];
    // A year begins where the one before ended: what was reached by then is known.
    for (let t = 0, before = ramp(lower[0] - launch, rising); t < span; t++) {
      const part = upper[t] - lower[t];
      const grown = ramp(upper[t] - launch, rising);
      let held = grown - before;
      before = grown;
      if (lost) held -= (1 - kept[d]) * (grown - ramp(clip(lost[d], lower[t], upper[t]) - launch, rising));
      const spent = price ? (market[t][d] * price[d]) / MILLION : market[t][d];
      sales[t] = spent * ((peakShare[d] * held) / part) * net[d];
      out.peak[d] = Math.max(out.peak[d], sales[t]);
      const received = margin ? margin[d] * sales[t] : tiered(sales[t], earnedAbove, earnedRate);
      income[t] = (received - tiered(sales[t], owedAbove, owedRate)) * part;
    }
    for (let e = 0; e < ends; e++) {
      for (let t = 0; t < span; t++) profit[e][t] = e === last ? income[t] : 0;
    }
    for (let c = 0; c < costs.length; c++) {
      const cost = costs[c];
      const begun = cost.from_year ?? (cost.stage === "launch" || cost.stage === null ? launch : starts[cost.reached]);
      const amounts = at(cost.amounts, d, here.amounts[c]);
      for (let t = 0, before = steps(lower[0] - begun, amounts); t < span; t++) {
        const spent = steps(upper[t] - begun, amounts);
        const paid = spent - before;
        before = spent;
        for (let e = cost.reached; e < ends; e++) profit[e][t] -= paid;
      }
    }
    const recurring = profit[last][span - 1];
    for (const { amount, level, phase, received } of milestones) {
      const paid = received ? amount[d] : -amount[d];
      if (level) {
        const first = sales.findIndex((sold) => sold >= level[d]);
        if (first >= 0) profit[last][first] += paid;
      } else {
        const when = years.indexOf(Math.floor(finishes[phase]));
        if (when >= 0) for (let e = phase + 1; e < ends; e++) profit[e][when] += paid;
      }
    }

    const rate = discount[d];
    tiedUp(sales, workingCapital[d], !(terminal && terminal.growth), tied);
    const logRate = Math.log1p(rate);
    for (let t = 0; t < span; t++) factor[t] = Math.exp(-times[t] * logRate); // faster than powers
    for (let e = 0; e < ends; e++) {
      taxes(profit[e], taxRate[d], deal.losses, lossLimit[d], tax);
      let value = -upfront[d];
      for (let t = 0; t < span; t++) {
        const flow = profit[e][t] - tax[t] - (e === last ? tied[t] : 0);
        if (out.flows) out.flows[(d * ends + e) * span + t] = flow;
        value += flow * factor[t];
      }
      out.npv[d * ends + e] = value;
    }
    if (terminal) {
      const flow = (recurring / (upper[span - 1] - lower[span - 1])) * (1 - taxRate[d]);
      const stock = workingCapital[d] * sales[span - 1];
      const beyond = valueBeyond(terminal, d, flow, stock, rate);
      out.npv[d * ends + last] += beyond * factor[span - 1];
    }
  }
  return out;
}

/**
 * Value at the time of the last year's flow of what lies beyond it, when approved; never below zero.
 * @param {{growth: ArrayLike<number> | null, years: ArrayLike<number> | null, multiple: ArrayLike<number> | null}} terminal
 * @param {number} d
 * @param {number} flow
 * @param {number} tied
 * @param {number} rate
 */
function valueBeyond(terminal, d, flow, tied, rate) {
  if (terminal.multiple) return Math.max(flow, 0) * terminal.multiple[d];
  const growth = terminal.growth ? terminal.growth[d] : 0;
  const years = terminal.years ? terminal.years[d] : null;
  if (years === null && growth >= rate) {
    throw new RangeError("the growth beyond the window is not below the discount rate: a perpetuity has no value");
  }
  const freed = years === null ? 0 : tied * ((1 + growth) / (1 + rate)) ** years;
  return Math.max(perpetuity(flow - (tied * growth) / (1 + growth), rate, growth, years) + freed, 0);
}
