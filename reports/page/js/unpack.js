// Draws as `reports/page/packing.py` packed them, unpacked.

/** @typedef {{shape: number[], low: number, step: number, bytes: string, larger: string}} PackedCells */
/** @typedef {{low: number[], width: number[], draws: number, top: string, rest: string}} PackedRows */
/** @typedef {{step: number[], draws: number, bytes: string}} PackedMoves */

const ESCAPE = 255;
const ROW_STEPS = 2 ** 48 - 1;

/**
 * The bytes that base64 text stands for.
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/**
 * The bytes that deflated base64 text stands for.
 * @param {string} text
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function inflated(text) {
  const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Draws of cells, flat in the order of the shape, whose last dimensions are the leaf and the draw.
 * @param {PackedCells} packed
 * @returns {Promise<Float32Array>}
 */
export async function unpackCells(packed) {
  const [small, largerBytes] = await Promise.all([inflated(packed.bytes), inflated(packed.larger)]);
  const larger = new DataView(largerBytes.buffer);
  const levels = new Int32Array(small.length);
  let top = 0;
  for (let i = 0, next = 0; i < small.length; i++) {
    let folded = small[i];
    if (folded === ESCAPE) {
      folded = larger.getUint32(next, true);
      next += 4;
    }
    levels[i] = (folded >>> 1) ^ -(folded & 1);
  }
  // Undo the differences: along each dimension but the leaves' and the draws', a running sum.
  const dims = packed.shape.length;
  let stride = packed.shape[dims - 1] * packed.shape[dims - 2];
  for (let axis = dims - 3; axis >= 0; axis--) {
    const block = stride * packed.shape[axis];
    for (let start = 0; start < levels.length; start += block) {
      for (let i = start + stride; i < start + block; i++) levels[i] += levels[i - stride];
    }
    stride = block;
  }
  for (let i = 0; i < levels.length; i++) if (levels[i] > top) top = levels[i];
  const value = new Float32Array(top + 1);
  for (let level = 1; level <= top; level++) value[level] = Math.exp(packed.low + (level - 1) * packed.step);
  const cells = new Float32Array(levels.length);
  for (let i = 0; i < levels.length; i++) cells[i] = value[levels[i]];
  return cells;
}

/**
 * Rows of draws, in the order they were packed.
 * @param {PackedRows} packed
 * @returns {Float64Array[]}
 */
export function unpackRows(packed) {
  const top = new DataView(fromBase64(packed.top).buffer);
  const rest = new DataView(fromBase64(packed.rest).buffer);
  return packed.low.map((low, row) => {
    const values = new Float64Array(packed.draws);
    const width = packed.width[row];
    for (let d = 0, at = row * packed.draws; d < packed.draws; d++, at++) {
      const level = top.getUint16(2 * at, true) * 2 ** 32 + rest.getUint32(4 * at, true);
      values[d] = low + (width * level) / ROW_STEPS;
    }
    return values;
  });
}

/**
 * Rows of differences, in the order they were packed; what does not move is exactly zero.
 * @param {PackedMoves} packed
 * @returns {Promise<Float64Array[]>}
 */
export async function unpackMoves(packed) {
  const levels = new DataView((await inflated(packed.bytes)).buffer);
  return packed.step.map((step, row) => {
    const start = 2 * row * packed.draws;
    return Float64Array.from({ length: packed.draws }, (_, d) => step * levels.getInt16(start + 2 * d, true));
  });
}
