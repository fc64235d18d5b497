/** OpenHead at the landmarks of a face, with analytic derivatives, for the fit of one image.
 *
 * The equations are those of `imavatar_deploy/head_fit/landmark_model.py`, for the mean head. The
 * file is written by `exporters/formats/web/face_fit_file.py`. Lengths are in model units.
 *
 *     L  landmarks (478)        E  expressions (50)        B  bones (5)
 *     D  parameters of a frame (68): expression, pose (15), translation (3)
 */

export const EXPRESSIONS = 50;
export const POSE = EXPRESSIONS; // first number of the pose
export const TRANSLATION = POSE + 15;
export const FRAME_SIZE = TRANSLATION + 3;

const BONES = 5;
const PARENTS = [-1, 0, 1, 1, 1];
const FEATURE = 9; // numbers of a bone's pose feature
const CORRECTED = BONES - 1; // bones with correctives: all but the root

/** Arrays of the file, by name. */
export type FitArrays = Record<string, Float64Array>;

/** Arrays that the file must have. */
const REQUIRED = [
  "template",
  "expression_basis",
  "pose_basis",
  "weights",
  "spread",
  "normals",
  "joints",
  "joints_by_expression",
  "offsets",
  "landmark_weights",
  "prior_weight",
  "prior_low",
  "prior_high",
  "eyes_apart",
] as const;

/** Read the arrays of a file: a length, JSON with names, counts and steps, and the numbers.
 *
 * Numbers are 16-bit multiples of the step, or of 32 bits in floating point where it is 0.
 *
 * @throws Error: it is something else.
 */
export function readFitFile(bytes: ArrayBuffer): FitArrays {
  const view = new DataView(bytes);
  const length = view.getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(bytes, 4, length));
  const header = JSON.parse(text) as { name: string; count: number; step: number }[];
  const arrays: FitArrays = {};
  let offset = 4 + length;
  for (const { name, count, step } of header) {
    const values = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      values[i] = step
        ? step * view.getInt16(offset + 2 * i, true)
        : view.getFloat32(offset + 4 * i, true);
    }
    arrays[name] = values;
    offset += (step ? 2 : 4) * count;
  }
  if (offset !== bytes.byteLength || REQUIRED.some((name) => !arrays[name]))
    throw new Error("it is damaged");
  return arrays;
}

/** What the pose does to the bones. */
interface BoneMotion {
  world: Float64Array[]; // [5] rotations against the model's axes
  local: Float64Array[]; // [5] rotations against the parent's
  left: Float64Array[]; // [5] left Jacobians
}

/** The points of a state, and what their derivatives need. */
export interface Posed extends BoneMotion {
  points: Float64Array; // [L, 3] model space, without the translation
  rest: Float64Array; // [L, 3]
  blended: Float64Array; // [L, 9]
  joints: Float64Array; // [B, 3] at rest
  heads: Float64Array; // [B, 3] posed
}

/** The head model restricted to landmarks. */
export class LandmarkModel {
  readonly count: number;
  private readonly a: FitArrays;

  constructor(arrays: FitArrays) {
    this.a = arrays;
    this.count = arrays["template"]!.length / 3;
  }

  /** The points of a state. */
  posed(state: Float64Array): Posed {
    const { count } = this;
    const motion = motionOf(state);
    const { world, local } = motion;
    const joints = linear(
      this.a["joints"]!,
      this.a["joints_by_expression"]!,
      EXPRESSIONS,
      state.subarray(0, EXPRESSIONS),
    );
    const heads = posedJoints(world, joints);
    const rest = linear(
      this.a["template"]!,
      this.a["expression_basis"]!,
      EXPRESSIONS,
      state.subarray(0, EXPRESSIONS),
    );
    const feature = new Float64Array(CORRECTED * FEATURE);
    for (let bone = 1; bone < BONES; bone++) {
      for (let i = 0; i < FEATURE; i++)
        feature[FEATURE * (bone - 1) + i] = local[bone]![i]! - (i % 4 === 0 ? 1 : 0);
    }
    const corrected = linear(rest, this.a["pose_basis"]!, feature.length, feature);
    const offsets = this.a["offsets"]!;
    const sines = [0, 1].map((i) => Math.sin(state[POSE + i]! + state[POSE + 3 + i]!));
    for (let i = 0; i < 3 * count; i++) {
      corrected[i]! +=
        offsets[i]! + sines[0]! * offsets[3 * count + i]! + sines[1]! * offsets[6 * count + i]!;
    }
    const blended = this.blendedRotations(world);
    const shift = joints.map((_, i) => {
      const bone = Math.floor(i / 3);
      const row = 3 * (i % 3);
      let moved = heads[i]!;
      for (let k = 0; k < 3; k++) moved -= world[bone]![row + k]! * joints[3 * bone + k]!;
      return moved;
    });
    const { weights, spread } = this.a as Record<"weights" | "spread", Float64Array>;
    const points = new Float64Array(3 * count);
    for (let l = 0; l < count; l++) {
      for (let row = 0; row < 3; row++) {
        let value = 0;
        for (let k = 0; k < 3; k++)
          value += blended[9 * l + 3 * row + k]! * corrected[3 * l + k]!;
        for (let bone = 0; bone < BONES; bone++) {
          const at = BONES * l + bone;
          value += weights[at]! * shift[3 * bone + row]!;
          for (let k = 0; k < 3; k++)
            value += world[bone]![3 * row + k]! * spread[3 * at + k]!;
        }
        points[3 * l + row] = value;
      }
    }
    return { ...motion, points, rest: corrected, blended, joints, heads };
  }

  /** The normals of the template, turned with their bones, [L, 3]. */
  posedNormals(state: Float64Array): Float64Array {
    const blended = this.blendedRotations(motionOf(state).world);
    const normals = this.a["normals"]!;
    return normals.map((_, i) => {
      const l = Math.floor(i / 3);
      const row = 9 * l + 3 * (i % 3);
      return (
        blended[row]! * normals[3 * l]! +
        blended[row + 1]! * normals[3 * l + 1]! +
        blended[row + 2]! * normals[3 * l + 2]!
      );
    });
  }

  /** The derivatives of the points by the parameters that `columns` lists, [L, 3, columns]. */
  derivatives(state: Float64Array, posed: Posed, columns: readonly number[]): Float64Array {
    const out = new Float64Array(3 * this.count * columns.length);
    const size = columns.length;
    const expressions = columns.filter((column) => column < EXPRESSIONS);
    this.byExpression(posed, expressions, out, size);
    const byPose = columns.some((column) => column >= POSE && column < TRANSLATION)
      ? this.byPose(state, posed)
      : undefined;
    columns.forEach((column, at) => {
      if (column < POSE) return;
      for (let i = 0; i < 3 * this.count; i++) {
        out[i * size + at] =
          column < TRANSLATION
            ? byPose![15 * i + column - POSE]!
            : Number(i % 3 === column - TRANSLATION);
      }
    });
    return out;
  }

  /** Derivatives by expressions, which are the first of the columns. */
  private byExpression(
    { world, blended }: Posed,
    expressions: readonly number[],
    out: Float64Array,
    size: number,
  ): void {
    const basis = this.a["expression_basis"]!;
    const byJoint = this.a["joints_by_expression"]!;
    const weights = this.a["weights"]!;
    // A bone's joint moves at rest and posed: G x = R (x - J) + K
    const shifts = expressions.map((expression) => {
      const joints = new Float64Array(3 * BONES);
      for (let i = 0; i < joints.length; i++) joints[i] = byJoint[i * EXPRESSIONS + expression]!;
      const heads = posedJoints(world, joints);
      return heads.map((head, i) => {
        const bone = Math.floor(i / 3);
        const row = 3 * (i % 3);
        let moved = head;
        for (let k = 0; k < 3; k++) moved -= world[bone]![row + k]! * joints[3 * bone + k]!;
        return moved;
      });
    });
    for (let l = 0; l < this.count; l++) {
      for (let at = 0; at < expressions.length; at++) {
        const from = 3 * l * EXPRESSIONS + expressions[at]!;
        const x = basis[from]!;
        const y = basis[from + EXPRESSIONS]!;
        const z = basis[from + 2 * EXPRESSIONS]!;
        const shift = shifts[at]!;
        for (let row = 0; row < 3; row++) {
          const r = 9 * l + 3 * row;
          let value = blended[r]! * x + blended[r + 1]! * y + blended[r + 2]! * z;
          for (let bone = 0; bone < BONES; bone++)
            value += weights[BONES * l + bone]! * shift[3 * bone + row]!;
          out[(3 * l + row) * size + at] = value;
        }
      }
    }
  }

  /** Derivatives by the pose, [L, 3, 15].
   *
   * A change of an axis-angle turns the bone by the left Jacobian times the change, in the axes of
   * the parent and about the posed joint.
   */
  private byPose(state: Float64Array, posed: Posed): Float64Array {
    const { points, rest, blended, joints, heads, world, local, left } = posed;
    const { count } = this;
    const { weights, spread } = this.a as Record<"weights" | "spread", Float64Array>;
    const poseBasis = this.a["pose_basis"]!;
    const offsets = this.a["offsets"]!;
    const out = new Float64Array(45 * count);
    const slopes = [0, 1].map((i) => Math.cos(state[POSE + i]! + state[POSE + 3 + i]!));
    const arm = new Float64Array(3);
    /** What a bone adds to a point, about that bone's own posed joint. */
    const part = (l: number, bone: number, row: number): number => {
      let value = 0;
      for (let k = 0; k < 3; k++) {
        const weight = weights[BONES * l + bone]!;
        const reach = weight * (rest[3 * l + k]! - joints[3 * bone + k]!);
        value += world[bone]![3 * row + k]! * (reach + spread[3 * (BONES * l + bone) + k]!);
      }
      return value;
    };
    for (let bone = 0; bone < BONES; bone++) {
      const parent = PARENTS[bone]!;
      const turn = parent < 0 ? left[bone]! : times(world[parent]!, left[bone]!);
      const feature = bone ? rotationDerivatives(local[bone]!, left[bone]!) : undefined;
      for (let l = 0; l < count; l++) {
        const root = weights[BONES * l]!;
        for (let row = 0; row < 3; row++) {
          if (bone === 0) arm[row] = points[3 * l + row]! - heads[row]!;
          else if (bone === 1)
            arm[row] =
              points[3 * l + row]! -
              part(l, 0, row) -
              root * heads[row]! -
              (1 - root) * heads[3 + row]!;
          else arm[row] = part(l, bone, row);
        }
        for (let axis = 0; axis < 3; axis++) {
          const t = [turn[axis]!, turn[3 + axis]!, turn[6 + axis]!] as const;
          const moved = [0, 0, 0];
          if (feature) {
            for (let row = 0; row < 3; row++) {
              const from = (3 * l + row) * CORRECTED * FEATURE + FEATURE * (bone - 1);
              for (let i = 0; i < FEATURE; i++)
                moved[row]! += poseBasis[from + i]! * feature[3 * i + axis]!;
            }
          }
          if (bone < 2 && axis < 2) {
            for (let row = 0; row < 3; row++)
              moved[row]! += offsets[3 * ((axis + 1) * count + l) + row]! * slopes[axis]!;
          }
          const cross = [
            t[1] * arm[2]! - t[2] * arm[1]!,
            t[2] * arm[0]! - t[0] * arm[2]!,
            t[0] * arm[1]! - t[1] * arm[0]!,
          ];
          for (let row = 0; row < 3; row++) {
            const r = 9 * l + 3 * row;
            out[15 * (3 * l + row) + 3 * bone + axis] =
              cross[row]! +
              blended[r]! * moved[0]! +
              blended[r + 1]! * moved[1]! +
              blended[r + 2]! * moved[2]!;
          }
        }
      }
    }
    return out;
  }

  private blendedRotations(world: Float64Array[]): Float64Array {
    const weights = this.a["weights"]!;
    const out = new Float64Array(9 * this.count);
    for (let l = 0; l < this.count; l++) {
      for (let bone = 0; bone < BONES; bone++) {
        const weight = weights[BONES * l + bone]!;
        if (weight) for (let i = 0; i < 9; i++) out[9 * l + i]! += weight * world[bone]![i]!;
      }
    }
    return out;
  }
}

function motionOf(state: Float64Array): BoneMotion {
  const local: Float64Array[] = [];
  const left: Float64Array[] = [];
  const world: Float64Array[] = [];
  for (let bone = 0; bone < BONES; bone++) {
    const vector = state.subarray(POSE + 3 * bone, POSE + 3 * bone + 3);
    const { sine, cosine, third } = rodrigues(vector);
    const skew = skewMatrix(vector);
    const square = times(skew, skew);
    const sum = (first: number, second: number) =>
      skew.map((value, i) => Number(i % 4 === 0) + first * value + second * square[i]!);
    local.push(sum(sine, cosine));
    left.push(sum(cosine, third));
    const parent = PARENTS[bone]!;
    world.push(parent < 0 ? local[bone]! : times(world[parent]!, local[bone]!));
  }
  return { local, left, world };
}

/** sin a / a, (1 - cos a) / a^2 and (a - sin a) / a^3 for a = |vector|. */
function rodrigues([x, y, z]: Float64Array): { sine: number; cosine: number; third: number } {
  const square = x! * x! + y! * y! + z! * z!;
  if (square < 1e-8)
    return { sine: 1 - square / 6, cosine: 0.5 - square / 24, third: 1 / 6 - square / 120 };
  const angle = Math.sqrt(square);
  const sine = Math.sin(angle) / angle;
  return { sine, cosine: (1 - Math.cos(angle)) / square, third: (1 - sine) / square };
}

/** The matrix of the cross product with a vector. */
function skewMatrix([x, y, z]: ArrayLike<number> & Iterable<number>): Float64Array {
  return Float64Array.of(0, -z!, y!, z!, 0, -x!, -y!, x!, 0);
}

/** The product of two 3 x 3 matrices. */
function times(a: Float64Array, b: Float64Array): Float64Array {
  const out = new Float64Array(9);
  for (let row = 0; row < 9; row += 3) {
    for (let column = 0; column < 3; column++)
      out[row + column] =
        a[row]! * b[column]! + a[row + 1]! * b[3 + column]! + a[row + 2]! * b[6 + column]!;
  }
  return out;
}

/** The derivative of a rotation, row by row, by its axis-angle, [9, 3]. */
function rotationDerivatives(rotation: Float64Array, left: Float64Array): Float64Array {
  const out = new Float64Array(27);
  for (let axis = 0; axis < 3; axis++) {
    const column = [left[axis]!, left[3 + axis]!, left[6 + axis]!];
    times(skewMatrix(column), rotation).forEach((value, i) => (out[3 * i + axis] = value));
  }
  return out;
}

/** The posed joints; linear in the joints at rest. */
function posedJoints(world: Float64Array[], joints: Float64Array): Float64Array {
  const posed = joints.slice();
  for (let bone = 1; bone < BONES; bone++) {
    const parent = PARENTS[bone]!;
    for (let row = 0; row < 3; row++) {
      let value = posed[3 * parent + row]!;
      for (let k = 0; k < 3; k++)
        value += world[parent]![3 * row + k]! * (joints[3 * bone + k]! - joints[3 * parent + k]!);
      posed[3 * bone + row] = value;
    }
  }
  return posed;
}

/** `start` plus a basis, [N, size], times coefficients. */
function linear(
  start: Float64Array,
  basis: Float64Array,
  size: number,
  coefficients: Float64Array,
): Float64Array {
  const used = Array.from(coefficients.keys()).filter((i) => coefficients[i] !== 0);
  return start.map((value, row) => {
    for (const i of used) value += basis[row * size + i]! * coefficients[i]!;
    return value;
  });
}
