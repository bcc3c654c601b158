// The market on every draw, and any part of it.
import { unpackCells } from "./unpack.js";

/**
 * @typedef {object} MarketData
 * @property {number[]} years
 * @property {number[]} anchors
 * @property {{chains: number, draws: number}} sample
 * @property {number} stride
 * @property {Record<string, string[]>} labels of regions and depths
 * @property {{modality: string, line: string | null}[]} leaves
 * @property {import("./unpack.js").PackedCells} cells [year, region, depth, leaf, draw]
 * @property {import("./unpack.js").PackedCells} totals [year, leaf, draw]
 */

/** @typedef {Record<string, string[]>} Chosen labels by dimension; none of a dimension means all of it */

/**
 * @typedef {object} Market
 * @property {number[]} years
 * @property {number[]} anchors
 * @property {{chains: number, draws: number}} sample
 * @property {Record<string, string[]>} dims what may be picked: labels by dimension
 * @property {(chosen: Chosen) => Float32Array[]} paths revenue of a part of the market, [year][draw]
 */

/**
 * Unpack a market. Each leaf's cells are scaled to add up to its total, which is packed more finely.
 * @param {MarketData} data
 * @returns {Promise<Market>}
 */
export async function openMarket(data) {
  const [cells, totals] = await Promise.all([unpackCells(data.cells), unpackCells(data.totals)]);
  const [years, regions, depths, leaves, draws] = data.cells.shape;
  const parts = regions * depths;
  const sum = new Float32Array(draws);
  for (let year = 0; year < years; year++) {
    for (let leaf = 0; leaf < leaves; leaf++) {
      sum.fill(0);
      const start = (/** @type {number} */ part) => ((year * parts + part) * leaves + leaf) * draws;
      for (let part = 0; part < parts; part++) {
        for (let d = 0, at = start(part); d < draws; d++, at++) sum[d] += cells[at];
      }
      const total = (year * leaves + leaf) * draws;
      for (let d = 0; d < draws; d++) sum[d] = sum[d] > 0 ? totals[total + d] / sum[d] : 0;
      for (let part = 0; part < parts; part++) {
        for (let d = 0, at = start(part); d < draws; d++, at++) cells[at] *= sum[d];
      }
    }
  }

  const unique = (/** @type {(string | null)[]} */ names) => [...new Set(names.filter((name) => name !== null))];
  /** @type {Record<string, string[]>} */
  const dims = {
    modality: unique(data.leaves.map((leaf) => leaf.modality)),
    line: unique(data.leaves.map((leaf) => leaf.line)),
    ...data.labels,
  };

  /** @type {Market["paths"]} */
  const paths = (chosen) => {
    const wanted = (/** @type {string} */ dim, /** @type {string | null} */ label) =>
      !chosen[dim]?.length || (label !== null && chosen[dim].includes(label));
    /** @type {number[]} */
    const picked = [];
    for (let r = 0; r < regions; r++) {
      for (let p = 0; p < depths; p++) {
        for (let l = 0; l < leaves; l++) {
          const { modality, line } = data.leaves[l];
          const inside = wanted("region", data.labels.region[r]) && wanted("depth", data.labels.depth[p]);
          if (inside && wanted("modality", modality) && wanted("line", line)) picked.push((r * depths + p) * leaves + l);
        }
      }
    }
    return data.years.map((_, year) => {
      const path = new Float64Array(draws);
      for (const cell of picked) {
        for (let d = 0, at = (year * parts * leaves + cell) * draws; d < draws; d++, at++) path[d] += cells[at];
      }
      return Float32Array.from(path);
    });
  };
  return { years: data.years, anchors: data.anchors, sample: data.sample, dims, paths };
}
