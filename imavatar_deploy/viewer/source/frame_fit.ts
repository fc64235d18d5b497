/** Expression and pose of one image after the other, from landmarks: `FrameFitter` in the browser.
 *
 * The energy, its weights and the steps are those of `imavatar_deploy/head_fit/frame_fit.py` and
 * `terms.py`, for OpenHead's mean head and without the blendshape network.
 */

import {
  EXPRESSIONS,
  FRAME_SIZE,
  LandmarkModel,
  POSE,
  TRANSLATION,
  type FitArrays,
  type Posed,
} from "./landmark_model";

const RIGID = [POSE + 3, POSE + 4, POSE + 5, TRANSLATION, TRANSLATION + 1, TRANSLATION + 2];
const ALL = Array.from({ length: FRAME_SIZE }, (_, i) => i);
const START_YAWS = [0, -0.6, 0.6];
const FACE_UNIT = 2.7;
const EYE_DISTANCE = 0.36;
const HUBER = 0.006;
const JUMP = 0.12;
const BAD = 0.06;
const ITERATIONS = 2;
const FIRST_ITERATIONS = 12;
const START_ITERATIONS = 8;
const CHANGE = [1e-4, 1e-3, 1] as const; // weights of a change: expression, pose, root
const TRIALS = 4;
const OUTER_EYE_CORNERS = [33, 263] as const;
const LIDS = [
  [159, 145, 33, 133],
  [386, 374, 362, 263],
] as const; // upper and lower lid, and the corners, of the right and the left eye
const IRISES = [468, 473, 478] as const; // where those of the right and the left eye begin, and end
const LEFT_EYE = POSE + 9;
const RIGHT_EYE = POSE + 12;

const RECORDED_FOCAL = 1; // in sides of a picture, see `imavatar_deploy/camera.py`
const SQUARE_FOCAL = 3;
const SQUARE_TOLERANCE = 0.02;

/** The fit of one image. */
export interface FrameFit {
  expression: Float64Array; // [50]
  pose: Float64Array; // [15] axis-angle; the neck has the head's rotation
  error: number; // mean distance of the visible landmarks, pixels
  confidence: number; // 0 to 1
}

/** Fits the mean head to the landmarks of one image after the other. */
export class FrameFitter {
  private readonly model: LandmarkModel;
  private readonly plane: { focal: number; column: number; row: number };
  private state: Float64Array | undefined;

  constructor(
    private readonly arrays: FitArrays,
    width: number,
    height: number,
  ) {
    this.model = new LandmarkModel(arrays);
    const longer = Math.max(width, height);
    const isSquare = longer - Math.min(width, height) <= SQUARE_TOLERANCE * longer;
    const focal = (isSquare ? SQUARE_FOCAL : RECORDED_FOCAL) * longer;
    this.plane = { focal, column: width / 2, row: height / 2 };
  }

  /** Forget the image before. */
  reset(): void {
    this.state = undefined;
  }

  /** Fit landmarks, [478, 3]; a depth is not used. */
  fit(landmarks: ArrayLike<number>, confidence: number): FrameFit {
    const problem = new FrameProblem(this.model, this.arrays, this.plane, landmarks);
    let { state } = this;
    if (state && problem.error(state) > JUMP) state = undefined;
    if (state) {
      problem.previous = state;
      state = problem.solve(state, ITERATIONS);
    } else {
      state = problem.solve(problem.start(), FIRST_ITERATIONS);
    }
    const error = problem.error(state);
    this.state = error < BAD ? state : undefined;
    return {
      expression: state.slice(0, EXPRESSIONS),
      pose: state.slice(POSE, TRANSLATION),
      error: error * problem.unit,
      confidence: confidence * problem.trust(state, error),
    };
  }
}

/** Energy of one image and its minimisation. */
class FrameProblem {
  readonly unit: number;
  /** The image before, from which a change costs; undefined for the first. */
  previous: Float64Array | undefined;
  private readonly weights: Float64Array;
  private readonly total: number;
  private visible: Float64Array;
  private latest: { state: Float64Array; posed: Posed; distances: Float64Array } | undefined;

  constructor(
    private readonly model: LandmarkModel,
    private readonly arrays: FitArrays,
    private readonly plane: { focal: number; column: number; row: number },
    private readonly pixels: ArrayLike<number>,
  ) {
    this.unit = FACE_UNIT * eyeDistance(pixels);
    this.weights = withoutCoveredIrises(arrays["landmark_weights"]!, pixels);
    this.total = this.weights.reduce((sum, weight) => sum + weight, 0);
    this.visible = this.weights;
  }

  /** The best rigid fit of the neutral face. */
  start(): Float64Array {
    const fits = START_YAWS.map((yaw) => {
      const placed = new Float64Array(FRAME_SIZE);
      placed[POSE + 4] = yaw;
      this.place(placed);
      const state = this.solve(placed, START_ITERATIONS, RIGID);
      return { error: this.error(state), state };
    });
    return fits.reduce((best, fit) => (fit.error < best.error ? fit : best)).state;
  }

  /** The mean distance of visible landmarks, in units. */
  error(state: Float64Array): number {
    const { distances } = this.evaluated(state);
    this.visible = this.visibleAt(state);
    let sum = 0;
    let total = 0;
    this.visible.forEach((weight, l) => {
      sum += weight * distances[l]!;
      total += weight;
    });
    return sum / Math.max(total, 1e-9);
  }

  /** A confidence of 0 to 1 from the error and the visible share. */
  trust(state: Float64Array, error: number): number {
    const share = this.visible.reduce((sum, weight) => sum + weight, 0) / this.total;
    const depth = Math.max(-state[TRANSLATION + 2]!, 1e-3);
    const expected = (FACE_UNIT * EYE_DISTANCE * this.plane.focal) / depth;
    const relative = (error * this.unit) / expected;
    return clip(share / 0.35, 0, 1) * clip(2 - relative / 0.025, 0, 1);
  }

  /** Levenberg-Marquardt steps within the bounds. */
  solve(state: Float64Array, steps: number, free: readonly number[] = ALL): Float64Array {
    const low = this.arrays["prior_low"]!;
    const high = this.arrays["prior_high"]!;
    const columns = free.filter((i) => low[i]! < high[i]!);
    let damping = 1e-3;
    this.visible = this.visibleAt(state);
    let energy = this.energy(state);
    for (let step = 0; step < steps; step++) {
      const { gradient, rows } = this.linearised(state, columns);
      const open = columns.filter((i) => {
        const isHeldLow = state[i]! <= low[i]! && gradient[i]! >= 0;
        const isHeldHigh = state[i]! >= high[i]! && gradient[i]! <= 0;
        return !isHeldLow && !isHeldHigh;
      });
      const hessian = this.hessian(rows, columns, open);
      let better: Float64Array | undefined;
      let lower = energy;
      for (let trial = 0; trial < TRIALS && !better; trial++) {
        const change = solveDamped(hessian, gradient, open, damping);
        const proposal = state.slice();
        open.forEach((i, at) => {
          proposal[i] = clip(state[i]! - change[at]!, low[i]!, high[i]!);
        });
        lower = this.energy(proposal);
        if (lower < energy) {
          better = proposal;
          damping = Math.max(damping * 0.2, 1e-6);
        } else {
          damping *= 10;
        }
      }
      if (!better) break;
      state = better;
      const converged = energy - lower < 1e-4 * energy;
      energy = lower;
      if (converged) break;
    }
    return state;
  }

  /** Set the translation so that the mean and the size of the landmarks agree. */
  private place(state: Float64Array): void {
    const { points } = this.model.posed(state);
    const count = this.model.count;
    const mean = (values: ArrayLike<number>, axis: number) => {
      let sum = 0;
      for (let l = 0; l < count; l++) sum += values[3 * l + axis]!;
      return sum / count;
    };
    const spread = (values: ArrayLike<number>, x: number, y: number) => {
      let sum = 0;
      for (let l = 0; l < count; l++) sum += Math.hypot(values[3 * l]! - x, values[3 * l + 1]! - y);
      return sum / count;
    };
    const centre = [0, 1, 2].map((axis) => mean(points, axis));
    const [column, row] = [mean(this.pixels, 0), mean(this.pixels, 1)];
    const size = spread(this.pixels, column, row);
    const { focal } = this.plane;
    const depth = (focal * spread(points, centre[0]!, centre[1]!)) / Math.max(size, 1e-6);
    state[TRANSLATION] = ((column - this.plane.column) / focal) * depth - centre[0]!;
    state[TRANSLATION + 1] = (-(row - this.plane.row) / focal) * depth - centre[1]!;
    state[TRANSLATION + 2] = -depth - centre[2]!;
  }

  private visibleAt(state: Float64Array): Float64Array {
    const normals = this.model.posedNormals(state);
    const template = this.arrays["template"]!;
    return this.weights.map((weight, l) => {
      let along = 0;
      let square = 0;
      for (let axis = 0; axis < 3; axis++) {
        const place = template[3 * l + axis]! + state[TRANSLATION + axis]!;
        along -= normals[3 * l + axis]! * place;
        square += place * place;
      }
      return weight * clip((along / Math.sqrt(square) - 0.1) / 0.3, 0, 1);
    });
  }

  /** Points and distances of a state; the last answer is kept. */
  private evaluated(state: Float64Array): { posed: Posed; distances: Float64Array } {
    if (this.latest?.state !== state) {
      const posed = this.model.posed(state);
      const distances = new Float64Array(this.model.count);
      for (let l = 0; l < distances.length; l++)
        distances[l] = Math.hypot(...this.offset(posed, state, l));
      this.latest = { state, posed, distances };
    }
    return this.latest;
  }

  /** A landmark of the model minus that of the image, in units. */
  private offset({ points }: Posed, state: Float64Array, l: number): [number, number] {
    const depth = -Math.min(points[3 * l + 2]! + state[TRANSLATION + 2]!, -1e-3);
    const { focal, column, row } = this.plane;
    const x = column + (focal * (points[3 * l]! + state[TRANSLATION]!)) / depth;
    const y = row - (focal * (points[3 * l + 1]! + state[TRANSLATION + 1]!)) / depth;
    return [(x - this.pixels[3 * l]!) / this.unit, (y - this.pixels[3 * l + 1]!) / this.unit];
  }

  private energy(state: Float64Array): number {
    const { distances } = this.evaluated(state);
    let data = 0;
    for (let l = 0; l < distances.length; l++) {
      const distance = distances[l]!;
      const rho = distance < HUBER ? distance ** 2 / (2 * HUBER) : distance - HUBER / 2;
      data += this.visible[l]! * rho;
    }
    let energy = data / this.total;
    const weight = this.arrays["prior_weight"]!;
    for (let i = 0; i < FRAME_SIZE; i++) {
      energy += weight[i]! * state[i]! ** 2;
      if (this.previous) energy += changeWeight(i) * (state[i]! - this.previous[i]!) ** 2;
    }
    this.arrays["eyes_apart"]!.forEach((apart, axis) => {
      energy += apart * (state[LEFT_EYE + axis]! - state[RIGHT_EYE + axis]!) ** 2;
    });
    return energy;
  }

  /** The gradient, [D], and the weighted derivatives of the residuals, [2 L, columns]. */
  private linearised(
    state: Float64Array,
    columns: readonly number[],
  ): { gradient: Float64Array; rows: Float64Array } {
    const { posed, distances } = this.evaluated(state);
    const by = this.model.derivatives(state, posed, columns);
    const size = columns.length;
    const rows = new Float64Array(2 * this.model.count * size);
    const sums = new Float64Array(size);
    const { focal } = this.plane;
    for (let l = 0; l < this.model.count; l++) {
      const factor = Math.sqrt(
        this.visible[l]! / Math.max(distances[l]!, HUBER) / this.total,
      );
      if (!factor) continue;
      const inverse = -1 / Math.min(posed.points[3 * l + 2]! + state[TRANSLATION + 2]!, -1e-3);
      const scale = (focal * inverse * factor) / this.unit;
      const across = inverse * (posed.points[3 * l]! + state[TRANSLATION]!);
      const down = inverse * (posed.points[3 * l + 1]! + state[TRANSLATION + 1]!);
      const [x, y] = this.offset(posed, state, l);
      const from = 3 * l * size;
      const to = 2 * l * size;
      for (let i = 0; i < size; i++) {
        const deep = by[from + 2 * size + i]!;
        const column = scale * (by[from + i]! + across * deep);
        const row = -scale * (by[from + size + i]! + down * deep);
        rows[to + i] = column;
        rows[to + size + i] = row;
        sums[i]! += factor * (x * column + y * row);
      }
    }
    const gradient = new Float64Array(FRAME_SIZE);
    const weight = this.arrays["prior_weight"]!;
    columns.forEach((i, at) => {
      gradient[i] = sums[at]! + 2 * weight[i]! * state[i]!;
      if (this.previous) gradient[i]! += 2 * changeWeight(i) * (state[i]! - this.previous[i]!);
    });
    this.arrays["eyes_apart"]!.forEach((apart, axis) => {
      const pull = 2 * apart * (state[LEFT_EYE + axis]! - state[RIGHT_EYE + axis]!);
      gradient[LEFT_EYE + axis]! += pull;
      gradient[RIGHT_EYE + axis]! -= pull;
    });
    return { gradient, rows };
  }

  /** Gauss-Newton's matrix of the open parameters, [n, n]. */
  private hessian(
    rows: Float64Array,
    columns: readonly number[],
    open: readonly number[],
  ): Float64Array {
    const size = columns.length;
    const places = open.map((i) => columns.indexOf(i));
    const n = open.length;
    const out = new Float64Array(n * n);
    const line = new Float64Array(n);
    for (let start = 0; start < rows.length; start += size) {
      for (let i = 0; i < n; i++) line[i] = rows[start + places[i]!]!;
      for (let i = 0; i < n; i++) {
        const value = line[i]!;
        if (value) for (let j = 0; j <= i; j++) out[i * n + j]! += value * line[j]!;
      }
    }
    const weight = this.arrays["prior_weight"]!;
    open.forEach((i, at) => {
      out[at * n + at]! += 2 * weight[i]! + (this.previous ? 2 * changeWeight(i) : 0);
    });
    this.arrays["eyes_apart"]!.forEach((apart, axis) => {
      const left = open.indexOf(LEFT_EYE + axis);
      const right = open.indexOf(RIGHT_EYE + axis);
      if (left >= 0) out[left * n + left]! += 2 * apart;
      if (right >= 0) out[right * n + right]! += 2 * apart;
      if (left >= 0 && right >= 0) out[right * n + left]! -= 2 * apart;
    });
    return out;
  }
}

/** Weight of the squared change of a parameter since the image before. */
function changeWeight(index: number): number {
  if (index < POSE) return CHANGE[0];
  if (index < POSE + 3) return CHANGE[2];
  return index < TRANSLATION ? CHANGE[1] : 0;
}

/** Solve with a damped diagonal, by Cholesky's decomposition of the lower half. */
function solveDamped(
  hessian: Float64Array,
  gradient: Float64Array,
  open: readonly number[],
  damping: number,
): Float64Array {
  const n = open.length;
  const root = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = hessian[i * n + j]!;
      if (i === j) sum = sum * (1 + damping) + 1e-9;
      for (let k = 0; k < j; k++) sum -= root[i * n + k]! * root[j * n + k]!;
      root[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 1e-18)) : sum / root[j * n + j]!;
    }
  }
  const x = Float64Array.from(open, (i) => gradient[i]!);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i]! -= root[i * n + k]! * x[k]!;
    x[i]! /= root[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i]! -= root[k * n + i]! * x[k]!;
    x[i]! /= root[i * n + i]!;
  }
  return x;
}

function clip(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** A size of the face in pixels that a turned head changes little. */
function eyeDistance(pixels: ArrayLike<number>): number {
  const [right, left] = OUTER_EYE_CORNERS;
  const across = distance(pixels, right, left);
  const count = pixels.length / 3;
  let variance = 0;
  for (const axis of [0, 1]) {
    let sum = 0;
    let squares = 0;
    for (let i = axis; i < pixels.length; i += 3) sum += pixels[i]!;
    for (let i = axis; i < pixels.length; i += 3) squares += (pixels[i]! - sum / count) ** 2;
    variance += squares / count;
  }
  return Math.max(across, 0.9 * Math.sqrt(variance), 1);
}

function distance(pixels: ArrayLike<number>, a: number, b: number): number {
  return Math.hypot(pixels[3 * a]! - pixels[3 * b]!, pixels[3 * a + 1]! - pixels[3 * b + 1]!);
}

/** The landmarks' weights, where covered irises have none. */
function withoutCoveredIrises(weights: Float64Array, pixels: ArrayLike<number>): Float64Array {
  const out = weights.slice();
  LIDS.forEach(([upper, lower, inner, outer], eye) => {
    const gap = distance(pixels, upper, lower) / Math.max(distance(pixels, inner, outer), 1e-6);
    const openness = clip((gap - 0.1) / 0.1, 0, 1);
    for (let l = IRISES[eye]!; l < IRISES[eye + 1]!; l++) out[l]! *= openness;
  });
  return out;
}
