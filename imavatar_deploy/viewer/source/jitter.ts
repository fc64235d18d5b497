/** Jitter buffer: faces in order of capture, and the motion between and beyond them.
 *
 * The rules and their numbers are those of `runtime/live/motion/jitter_buffer.py`, with the row
 * `relax` of its table of dropouts. Times are in seconds.
 */

export const EXPRESSIONS = 50;
const BONES = 5;

const VALUES = EXPRESSIONS + 3 * BONES; // of a difference: expressions, then rotation vectors
const JAW = 2;
const LIMITED = EXPRESSIONS + 3; // values whose range is known: expressions and jaw

const CAPACITY = 256;
const PAST_FACES = 5;
const SLOW_INTERVALS = 3;
const DUPLICATE_SECONDS = 5e-4;
const TURN_SPEED_LIMIT = 10;
const SLOW_SPEEDS_SQUARED = [0.7 ** 2, 0.5 ** 2] as const; // of expressions, of rotations
const HEADROOM_FACTOR = 3;
const HEADROOM_DECAY = 0.8;

const CARRY_SECONDS = 0.04;
const FADE_SECONDS = 0.06;
const RELAX_AFTER = 2;
const RELAX_SECONDS = 1.2;

export type Quaternion = readonly [number, number, number, number]; // w x y z
type Vector = readonly [number, number, number];

export const IDENTITY: Quaternion = [1, 0, 0, 0];

/** A face: expressions, and a unit quaternion for each bone. */
export interface Face {
  expression: readonly number[];
  turns: readonly Quaternion[];
}

/** The quaternion of an axis-angle. */
export function quaternion([x, y, z]: Vector): Quaternion {
  const angle = Math.sqrt(x * x + y * y + z * z);
  const half = angle > 1e-9 ? Math.sin(angle / 2) / angle : 0.5;
  return [Math.cos(angle / 2), half * x, half * y, half * z];
}

/** The axis-angle of a quaternion, of at most pi. */
export function axisAngle(q: Quaternion): Vector {
  const sign = q[0] < 0 ? -1 : 1;
  const [w, x, y, z] = [sign * q[0], sign * q[1], sign * q[2], sign * q[3]];
  const sine = Math.sqrt(x * x + y * y + z * z);
  const scale = sine > 1e-12 ? (2 * Math.atan2(sine, w)) / sine : 2;
  return [scale * x, scale * y, scale * z];
}

/** The Hamilton product: rotation by `b`, then `a`. */
export function product(a: Quaternion, b: Quaternion): Quaternion {
  return [
    a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
    a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
    a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
    a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
  ];
}

function vectorAt(values: ArrayLike<number>, bone: number): Vector {
  const at = 3 * bone;
  return [values[at]!, values[at + 1]!, values[at + 2]!];
}

/** The face of an expression code and an axis-angle pose. */
export function faceOf(expression: ArrayLike<number>, pose: ArrayLike<number>): Face {
  return {
    expression: Array.from(expression),
    turns: Array.from({ length: BONES }, (_, bone) => quaternion(vectorAt(pose, bone))),
  };
}

/** The axis-angle pose of a face. */
export function poseOf(face: Face): number[] {
  return face.turns.flatMap((turn) => [...axisAngle(turn)]);
}

/** The difference of two faces; each bone by the shorter way. */
export function minus(a: Face, b: Face): number[] {
  const rotations = a.turns.flatMap((turn, bone) => {
    const [w, x, y, z] = b.turns[bone]!;
    return [...axisAngle(product(turn, [w, -x, -y, -z]))];
  });
  return [...a.expression.map((value, i) => value - b.expression[i]!), ...rotations];
}

/** A face moved by a difference times a factor. */
export function plus(face: Face, difference: readonly number[], factor: number): Face {
  const turns = face.turns.map((turn, bone) => {
    const at = EXPRESSIONS + 3 * bone;
    const [x, y, z] = [difference[at]!, difference[at + 1]!, difference[at + 2]!];
    return product(quaternion([factor * x, factor * y, factor * z]), turn);
  });
  return { expression: face.expression.map((value, i) => value + factor * difference[i]!), turns };
}

/** Limits of expressions and jaw: the extremes so far, and a headroom while they grow. */
class MotionRange {
  private readonly most = [new Array<number>(LIMITED).fill(0), new Array<number>(LIMITED).fill(0)];
  private readonly headroom = this.most.map((row) => row.slice());

  include(face: Face): void {
    const values = [...face.expression, ...axisAngle(face.turns[JAW]!)];
    [-1, 1].forEach((sign, side) => {
      const most = this.most[side]!;
      const headroom = this.headroom[side]!;
      values.forEach((value, i) => {
        const growth = Math.max(sign * value - most[i]!, 0);
        most[i]! += growth;
        headroom[i] = Math.max(HEADROOM_DECAY * headroom[i]!, HEADROOM_FACTOR * growth);
      });
    });
  }

  clip(value: number, index: number): number {
    const low = -(this.most[0]![index]! + this.headroom[0]![index]!);
    const high = this.most[1]![index]! + this.headroom[1]![index]!;
    return Math.min(Math.max(value, low), high);
  }
}

/** Seconds to extrapolate at the last speed, so long after the newest face. */
function lead(age: number): number {
  const fading = Math.min(Math.max(age - CARRY_SECONDS, 0), FADE_SECONDS);
  return (
    Math.min(Math.max(age, 0), CARRY_SECONDS) + fading * (1 - fading / (2 * FADE_SECONDS))
  );
}

/** Share of the way to neutral, so long after the newest face. */
function rest(age: number): number {
  const share = Math.min(Math.max((age - RELAX_AFTER) / RELAX_SECONDS, 0), 1);
  return share * share * (3 - 2 * share);
}

const NEUTRAL: Face = {
  expression: new Array<number>(EXPRESSIONS).fill(0),
  turns: new Array<Quaternion>(BONES).fill(IDENTITY),
};

interface Entry {
  time: number;
  face: Face;
  speed: number[]; // to the next face; of the newest, its own
}

/** Faces sorted by time of capture, on the sender's clock. */
export class JitterBuffer {
  private readonly entries: Entry[] = [];
  private readonly range = new MotionRange();

  get count(): number {
    return this.entries.length;
  }

  /** Drop all faces, but keep the range of motion. */
  clear(): void {
    this.entries.length = 0;
  }

  /** Insert a face; return the reason for a rejection, `repeated` or `late`, or an empty string.
   *
   * @param displayTime: the time now on display.
   * @param interval: seconds between two faces of the source.
   */
  insert(time: number, face: Face, displayTime: number, interval: number): string {
    const { entries } = this;
    const past = this.after(displayTime) - PAST_FACES;
    entries.splice(0, Math.max(past, entries.length + 1 - CAPACITY, 0));
    let place = this.after(time);
    while (place > 0 && entries[place - 1]!.time >= time) place--;
    const near = entries.slice(Math.max(place - 1, 0), place + 1);
    if (near.some((entry) => Math.abs(entry.time - time) < DUPLICATE_SECONDS)) return "repeated";
    if (place < entries.length && entries[place]!.time <= displayTime) return "late";
    entries.splice(place, 0, { time, face, speed: [] });
    this.range.include(face);
    this.measure(place, interval);
    return "";
  }

  /** The face at a time; beyond the newest one the motion goes on, fades, and returns to neutral. */
  read(time: number): Face {
    const last = this.entries.length - 1;
    const index = Math.min(Math.max(this.after(time) - 1, 0), last);
    const { face, speed, time: start } = this.entries[index]!;
    const since = Math.max(time - start, 0);
    const moved = plus(face, speed, index === last ? lead(since) : since);
    const shown = {
      expression: moved.expression.map((value, i) => this.range.clip(value, i)),
      turns: moved.turns,
    };
    const share = rest(time - this.entries[last]!.time);
    return share ? plus(shown, minus(NEUTRAL, shown), share) : shown;
  }

  /** The axis-angle pose of a face; the jaw stays in the range of motion. */
  poseOf(face: Face): number[] {
    const pose = poseOf(face);
    for (let i = 0; i < 3; i++)
      pose[3 * JAW + i] = this.range.clip(pose[3 * JAW + i]!, EXPRESSIONS + i);
    return pose;
  }

  /** Number of faces that are not newer than a time. */
  private after(time: number): number {
    let count = this.entries.length;
    while (count > 0 && this.entries[count - 1]!.time > time) count--;
    return count;
  }

  /** Update the speeds that a new face changes. */
  private measure(place: number, interval: number): void {
    const { entries } = this;
    const last = entries.length - 1;
    for (let index = Math.max(place - 1, 0); index < Math.min(place + 1, last); index++) {
      const [entry, next] = [entries[index]!, entries[index + 1]!];
      const elapsed = next.time - entry.time;
      entry.speed = minus(next.face, entry.face).map((value) => value / elapsed);
    }
    entries[last]!.speed = this.newestSpeed(interval);
  }

  /** The speed of the newest face: of a slow motion over three intervals, which has less noise,
   * of a fast one extrapolated to its end, which has no lag. */
  private newestSpeed(interval: number): number[] {
    const recent = this.entries.slice(-SLOW_INTERVALS - 1);
    const gaps = recent.slice(1).map((entry, i) => entry.time - recent[i]!.time);
    if (!gaps.length) return new Array<number>(VALUES).fill(0);
    const total = Math.max(
      gaps.reduce((sum, gap) => sum + gap, 0),
      interval,
    );
    const [gap, gapBefore] = [gaps.at(-1)!, gaps.at(-2)];
    return Array.from({ length: VALUES }, (_, i) => {
      const moved = gaps.map((each, row) => recent[row]!.speed[i]! * each);
      let speed = moved.reduce((sum, value) => sum + value, 0) / total;
      const fast = moved.at(-1)! / Math.max(gap, interval / 2);
      if (gapBefore !== undefined) {
        const before = moved.at(-2)! / Math.max(gapBefore, interval / 2);
        const pace = Math.max(fast * fast, before * before);
        const atEnd = fast + ((fast - before) * gap) / (gap + gapBefore);
        speed += (pace / (pace + SLOW_SPEEDS_SQUARED[i < EXPRESSIONS ? 0 : 1])) * (atEnd - speed);
      }
      return i < EXPRESSIONS ? speed : clipTurn(speed);
    });
  }
}

function clipTurn(speed: number): number {
  return Math.min(Math.max(speed, -TURN_SPEED_LIMIT), TURN_SPEED_LIMIT);
}
