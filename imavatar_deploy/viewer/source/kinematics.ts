/** Head kinematics, as `imavatar_deploy/kinematics.py`: rotations, feature, bone transforms. */

import type { Model } from "./model";

const PARENTS = [-1, 0, 1, 1, 1];

/** Numbers of a pose: axis-angle of global, neck, jaw, left and right eye, in radians. */
export const POSE_SIZE = 3 * PARENTS.length;

/** The rotation matrix of an axis-angle, row by row; Rodrigues' formula. */
export function rotation(x: number, y: number, z: number): number[] {
  const angle = Math.hypot(x + 1e-8, y + 1e-8, z + 1e-8);
  const [a, b, c] = [x / angle, y / angle, z / angle];
  const s = Math.sin(angle);
  const t = 1 - Math.cos(angle);
  return [
    1 - t * (b * b + c * c),
    t * a * b - s * c,
    t * a * c + s * b,
    t * a * b + s * c,
    1 - t * (a * a + c * c),
    t * b * c - s * a,
    t * a * c - s * b,
    t * b * c + s * a,
    1 - t * (a * a + b * b),
  ];
}

/** The product of two 3 x 3 matrices. */
export function multiply(a: readonly number[], b: readonly number[]): number[] {
  const out = new Array<number>(9);
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) {
      out[3 * row + column] =
        a[3 * row]! * b[column]! +
        a[3 * row + 1]! * b[3 + column]! +
        a[3 * row + 2]! * b[6 + column]!;
    }
  }
  return out;
}

/** The product of a 3 x 3 matrix and a vector. */
export function apply(m: readonly number[], v: readonly number[]): number[] {
  return [0, 3, 6].map((row) => m[row]! * v[0]! + m[row + 1]! * v[1]! + m[row + 2]! * v[2]!);
}

function rotationsOf(pose: ArrayLike<number>): number[][] {
  return PARENTS.map((_, bone) =>
    rotation(pose[3 * bone]!, pose[3 * bone + 1]!, pose[3 * bone + 2]!),
  );
}

/** The pose feature: R - I of neck, jaw and eyes, row by row. */
export function poseFeature(pose: ArrayLike<number>): number[] {
  return rotationsOf(pose)
    .slice(1)
    .flatMap((matrix) => matrix.map((value, i) => value - (i % 4 === 0 ? 1 : 0)));
}

/** Write the positions of the joints at rest, expression included, [5, 3]. */
export function jointsOf(
  { expressionNames, jointBasis, jointsRest }: Model,
  expression: ArrayLike<number>,
  joints: Float64Array,
): void {
  for (let i = 0; i < joints.length; i++) {
    let value = jointsRest[i]!;
    for (let k = 0; k < expressionNames.length; k++)
      value += expression[k]! * jointBasis[k * joints.length + i]!;
    joints[i] = value;
  }
}

/** The rigid motion of every bone from rest to posed, 12 numbers each: rows of [R | t].
 *
 * @param joints: positions at rest, [5, 3], expression included.
 * @param bones: number of skinning bones; with one more than joints, the first never moves.
 */
export function skinningTransforms(
  pose: ArrayLike<number>,
  joints: ArrayLike<number>,
  bones: number,
): Float64Array {
  const joint = (bone: number) => [joints[3 * bone]!, joints[3 * bone + 1]!, joints[3 * bone + 2]!];
  const world: { r: number[]; t: number[] }[] = [];
  rotationsOf(pose).forEach((local, bone) => {
    const parent = PARENTS[bone]!;
    const here = joint(bone);
    if (parent < 0) {
      world.push({ r: local, t: here });
      return;
    }
    const above = world[parent]!;
    const origin = joint(parent);
    const moved = apply(
      above.r,
      here.map((value, i) => value - origin[i]!),
    );
    world.push({ r: multiply(above.r, local), t: moved.map((value, i) => value + above.t[i]!) });
  });
  const out = new Float64Array(12 * bones);
  const ghosts = bones - PARENTS.length;
  for (let ghost = 0; ghost < ghosts; ghost++)
    out.set([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], 12 * ghost);
  world.forEach(({ r, t }, bone) => {
    const moved = apply(r, joint(bone));
    for (let row = 0; row < 3; row++) {
      out.set(
        [r[3 * row]!, r[3 * row + 1]!, r[3 * row + 2]!, t[row]! - moved[row]!],
        12 * (ghosts + bone) + 4 * row,
      );
    }
  });
  return out;
}
