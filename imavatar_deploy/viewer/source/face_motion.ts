/** Images of one person -> OpenHead's expression and pose, smoothed, relative to a neutral face.
 *
 * As `runtime/sources/face_motion.py` and `runtime/live/motion`, with the mean head: the person's
 * shape is not estimated. What is constant of it is removed by the neutral face.
 */

import type { FaceFollower } from "./face_follower";
import { FrameFitter } from "./frame_fit";
import {
  EXPRESSIONS,
  faceOf,
  IDENTITY,
  minus,
  plus,
  poseOf,
  product,
  type Face,
  type Quaternion,
} from "./jitter";
import type { FitArrays } from "./landmark_model";
import type { Picture } from "./picture";

const CLEAR_LOG_ODDS = 8.5; // of the landmark network, where a face is as likely covered as not
const LEAST_CONFIDENCE = 0.35;
const RETURN_CONFIDENCE = 0.5;
const LARGEST_CONVERGENCE = 0.1; // radians of each eye towards the nose
const BONES = 5;
const GLOBAL = 0;
const NECK = 1;
const LEFT_EYE = 9; // numbers of the pose
const RIGHT_EYE = 12;

const NEUTRAL: Face = {
  expression: new Array<number>(EXPRESSIONS).fill(0),
  turns: new Array<Quaternion>(BONES).fill(IDENTITY),
};

/** What an image shows. */
export interface Observation {
  state: "face" | "empty" | "uncertain";
  face?: Face;
}

/** The face of one image after the other. */
export class FaceMotion {
  private fitter: FrameFitter | undefined;
  private size = "";
  private isOpen = true;
  private isLost = false;

  constructor(
    private readonly follower: FaceFollower,
    private readonly arrays: FitArrays,
  ) {}

  /** The face of the next image of the same camera, or why it is withheld. */
  async observe(picture: Picture): Promise<Observation> {
    const { width, height } = picture;
    if (this.size !== `${width} ${height}`) {
      this.size = `${width} ${height}`;
      this.fitter = new FrameFitter(this.arrays, width, height);
    }
    const fitter = this.fitter!;
    const landmarks = await this.follower.track(picture);
    if (!landmarks) {
      this.isLost = true;
      return { state: "empty" };
    }
    if (this.isLost) fitter.reset();
    this.isLost = false;
    const fit = fitter.fit(landmarks.points, landmarks.confidence);
    const confidence = fit.confidence * certainty(landmarks.confidence);
    this.isOpen = confidence >= (this.isOpen ? LEAST_CONFIDENCE : RETURN_CONFIDENCE);
    if (!this.isOpen) return { state: "uncertain" };
    const face = faceOf(fit.expression, withCommonGaze(fit.pose));
    const turns = face.turns.slice();
    turns[GLOBAL] = product(turns[GLOBAL]!, turns[NECK]!);
    turns[NECK] = IDENTITY;
    return { state: "face", face: { expression: face.expression, turns } };
  }
}

/** Certainty, 0 to 1, that the points of a face are visible. */
function certainty(presence: number): number {
  const odds = Math.max(presence, 1e-12) / Math.max(1 - presence, 1e-12);
  return odds / (odds + Math.exp(CLEAR_LOG_ODDS));
}

/** A pose whose eyes look in one direction, or at one near point; they never diverge. */
function withCommonGaze(pose: ArrayLike<number>): number[] {
  const result = Array.from(pose);
  const apart = (pose[RIGHT_EYE + 1]! - pose[LEFT_EYE + 1]!) / 2;
  const convergence = Math.min(LARGEST_CONVERGENCE, Math.max(0, apart));
  for (let axis = 0; axis < 3; axis++) {
    const common = (pose[LEFT_EYE + axis]! + pose[RIGHT_EYE + axis]!) / 2;
    const inwards = axis === 1 ? convergence : 0;
    result[LEFT_EYE + axis] = common - inwards;
    result[RIGHT_EYE + axis] = common + inwards;
  }
  return result;
}

const CALIBRATION_SECONDS = 1

/** The person's neutral face: the median of a second, which is subtracted from every face. */
export class NeutralFace {
  private neutral: Face | undefined;
  private collected: Face[] | undefined;
  private end = 0;

  /** Make the faces of the next second the neutral one. */
  calibrate(): void {
    this.collected = [];
  }

  /** Whether faces are being collected. */
  get isCalibrating(): boolean {
    return this.collected !== undefined;
  }

  /** A face relative to the neutral one. */
  relative(face: Face, seconds: number): Face {
    if (this.collected) {
      if (!this.collected.length) this.end = seconds + CALIBRATION_SECONDS;
      this.collected.push(face);
      if (seconds >= this.end) {
        this.neutral = medianOf(this.collected);
        this.collected = undefined;
      }
    }
    const { neutral } = this;
    if (!neutral) return face;
    return {
      expression: face.expression.map((value, i) => value - neutral.expression[i]!),
      turns: face.turns.map((turn, bone) => {
        const [w, x, y, z] = neutral.turns[bone]!;
        return product([w, -x, -y, -z], turn);
      }),
    };
  }
}

/** The median face; of rotations that of the differences from a face near it, in two passes. */
function medianOf(faces: readonly Face[]): Face {
  let median = NEUTRAL;
  for (let pass = 0; pass < 2; pass++) {
    const differences = faces.map((face) => minus(face, median));
    const middle = differences[0]!.map((_, i) => {
      const sorted = differences.map((row) => row[i]!).sort((a, b) => a - b);
      const half = sorted.length >> 1;
      return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
    });
    median = plus(median, middle, 1);
  }
  return median;
}

// One-Euro filter, with the parameters of `runtime/live/motion/playback.py`
const MIN_CUTOFF = 1.5; // Hz
const EXPRESSION_BETA = 4;
const BONE_BETA = 15;
const SPEED_CUTOFF = 4;
const MEMORY = 0.25; // seconds
const LATENCY_SHARE = 0.85; // of an interval: the lag of the smoothing at rest
const LONGEST_GAP = 0.5; // seconds between two faces, above which the filter starts anew

const HOLD_SECONDS = 2; // without a face, before the head returns to neutral
const RETURN_SECONDS = 0.4;

/** Smooths faces as they arrive; without one, the head returns to neutral after two seconds. */
export class Smoothing {
  private raw: Face | undefined;
  private shown: Face = NEUTRAL;
  private speed: number[] = [];
  private fastest: number[] = [];
  private time = 0; // of the newest face
  private drawn = 0; // of the newest answer

  /** The face to show after a new one, or after an image without one. */
  step(face: Face | undefined, seconds: number): Face {
    const since = seconds - this.drawn;
    this.drawn = seconds;
    if (!face) {
      if (seconds - this.time > HOLD_SECONDS) {
        this.raw = undefined;
        const share = 1 - Math.exp(-since / RETURN_SECONDS);
        this.shown = plus(this.shown, minus(NEUTRAL, this.shown), share);
      }
      return this.shown;
    }
    const elapsed = seconds - this.time;
    this.time = seconds;
    if (!this.raw || !(elapsed > 0) || elapsed > LONGEST_GAP) {
      this.raw = this.shown = face;
      this.speed = minus(face, face);
      this.fastest = this.speed.slice();
      return face;
    }
    const floor = Math.max(MIN_CUTOFF, 1 / (2 * Math.PI * LATENCY_SHARE * elapsed));
    const change = minus(face, this.raw);
    const gap = minus(face, this.shown);
    const share = 1 / (1 + 1 / (2 * Math.PI * SPEED_CUTOFF * elapsed));
    const fading = Math.exp(-elapsed / MEMORY);
    this.speed = this.speed.map((speed, i) => speed + share * (change[i]! / elapsed - speed));
    this.fastest = this.fastest.map((past, i) => Math.max(this.speedAt(i), past * fading));
    const step = gap.map((value, i) => {
      const beta = i < EXPRESSIONS ? EXPRESSION_BETA : BONE_BETA;
      const lag = 1 / (2 * Math.PI * (floor + beta * this.fastest[i]!));
      return (value * elapsed) / (elapsed + lag);
    });
    this.raw = face;
    this.shown = plus(this.shown, step, 1);
    return this.shown;
  }

  /** Speed of an expression, or of the bone that a number belongs to. */
  private speedAt(index: number): number {
    if (index < EXPRESSIONS) return Math.abs(this.speed[index]!);
    const first = index - ((index - EXPRESSIONS) % 3);
    return Math.hypot(this.speed[first]!, this.speed[first + 1]!, this.speed[first + 2]!);
  }
}

/** Expression and axis-angle pose of a face. */
export function codeOf(face: Face): { expression: readonly number[]; pose: number[] } {
  return { expression: face.expression, pose: poseOf(face) };
}

