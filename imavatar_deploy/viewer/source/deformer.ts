/** Vertices and normals of a posed avatar, as the docstring of `imavatar_deploy/avatar.py`.
 *
 * The mesh of three.js needs them in memory: ray casting, shadows and bounds read them there. The
 * element computes them on the GPU (`gpu_deformer.ts`).
 */

import { jointsOf, POSE_SIZE, poseFeature, skinningTransforms } from "./kinematics";
import type { Model } from "./model";

export class Deformer {
  /** [V, 3], model units. */
  readonly positions: Float32Array;
  /** [V, 3], unit. */
  readonly normals: Float32Array;
  private readonly shaped: Float32Array;
  private readonly joints: Float64Array;

  constructor(private readonly model: Model) {
    const size = 3 * model.vertexCount;
    this.positions = new Float32Array(size);
    this.normals = new Float32Array(size);
    this.shaped = new Float32Array(size);
    this.joints = new Float64Array(model.jointsRest.length);
  }

  /** Write positions and normals of an expression and a pose. */
  pose(expression: ArrayLike<number>, pose: ArrayLike<number>): void {
    if (pose.length !== POSE_SIZE)
      throw new RangeError(`a pose has ${POSE_SIZE} numbers, got ${pose.length}`);
    this.blend(expression, poseFeature(pose));
    jointsOf(this.model, expression, this.joints);
    this.skin(skinningTransforms(pose, this.joints, this.model.boneCount));
    this.addFaceNormals();
    normalise(this.normals);
    this.addDetail();
    normalise(this.normals);
  }

  /** Rest positions plus blendshapes and correctives; a coefficient of zero costs nothing. */
  private blend(expression: ArrayLike<number>, feature: readonly number[]): void {
    const { basis, rest } = this.model;
    const { shaped } = this;
    const size = shaped.length;
    shaped.set(rest);
    const expressions = this.model.expressionNames.length;
    for (let k = 0; k < expressions + feature.length; k++) {
      const coefficient = k < expressions ? expression[k]! : feature[k - expressions]!;
      if (Math.abs(coefficient) < 1e-9) continue;
      for (let i = 0, from = k * size; i < size; i++, from++)
        shaped[i]! += coefficient * basis[from]!;
    }
  }

  /** Linear blend skinning. `shaped` then holds the rotated normal detail. */
  private skin(bones: Float64Array): void {
    const { boneCount, skinWeights, normalDetail, vertexCount } = this.model;
    const { shaped, positions } = this;
    const m = new Float64Array(12);
    for (let vertex = 0; vertex < vertexCount; vertex++) {
      m.fill(0);
      for (let bone = 0; bone < boneCount; bone++) {
        const weight = skinWeights[vertex * boneCount + bone]!;
        if (weight === 0) continue;
        for (let i = 0, from = 12 * bone; i < 12; i++, from++) m[i]! += weight * bones[from]!;
      }
      const at = 3 * vertex;
      const x = shaped[at]!,
        y = shaped[at + 1]!,
        z = shaped[at + 2]!;
      const dx = normalDetail[at]!,
        dy = normalDetail[at + 1]!,
        dz = normalDetail[at + 2]!;
      for (let axis = 0, row = 0; axis < 3; axis++, row += 4) {
        positions[at + axis] = m[row]! * x + m[row + 1]! * y + m[row + 2]! * z + m[row + 3]!;
        shaped[at + axis] = m[row]! * dx + m[row + 1]! * dy + m[row + 2]! * dz;
      }
    }
  }

  /** Sum of the normals of the faces around each vertex, weighted by their areas. */
  private addFaceNormals(): void {
    const { faces } = this.model;
    const { positions: p, normals } = this;
    normals.fill(0);
    for (let i = 0; i < faces.length; i += 3) {
      const a = 3 * faces[i]!,
        b = 3 * faces[i + 1]!,
        c = 3 * faces[i + 2]!;
      const ux = p[b]! - p[a]!,
        uy = p[b + 1]! - p[a + 1]!,
        uz = p[b + 2]! - p[a + 2]!;
      const vx = p[c]! - p[a]!,
        vy = p[c + 1]! - p[a + 1]!,
        vz = p[c + 2]! - p[a + 2]!;
      const x = uy * vz - uz * vy,
        y = uz * vx - ux * vz,
        z = ux * vy - uy * vx;
      normals[a]! += x;
      normals[a + 1]! += y;
      normals[a + 2]! += z;
      normals[b]! += x;
      normals[b + 1]! += y;
      normals[b + 2]! += z;
      normals[c]! += x;
      normals[c + 1]! += y;
      normals[c + 2]! += z;
    }
  }

  private addDetail(): void {
    for (let i = 0; i < this.normals.length; i++) this.normals[i]! += this.shaped[i]!;
  }
}

function normalise(vectors: Float32Array): void {
  for (let i = 0; i < vectors.length; i += 3) {
    const x = vectors[i]!,
      y = vectors[i + 1]!,
      z = vectors[i + 2]!;
    const length = Math.sqrt(x * x + y * y + z * z);
    const scale = length > 0 ? 1 / length : 0;
    vectors[i] = x * scale;
    vectors[i + 1] = y * scale;
    vectors[i + 2] = z * scale;
  }
}
