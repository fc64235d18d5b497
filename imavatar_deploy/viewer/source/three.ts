/** The avatar as an object of three.js, which the page that imports this module brings. */

import {
  BufferAttribute,
  BufferGeometry,
  DynamicDrawUsage,
  InterleavedBuffer,
  InterleavedBufferAttribute,
  Mesh,
  ShaderMaterial,
} from "three";

import { Deformer } from "./deformer";
import { POSE_SIZE } from "./kinematics";
import { loadModel, type Model, type Student } from "./model";
import { colourFunction, conditionOf, vertexDeclarations, vertexStatements } from "./shaders";
import { areFinite } from "./track";

export { AvatarError, decodeModel, loadModel, type Model, type Student } from "./model";
export { presetsOf, type Preset } from "./presets";
export { duration, parseTrack, sample, type Track } from "./track";

const UNITS_PER_METRE = 4;

/** The colours of a student. They contain the light of the recording: no light changes them. */
export class AvatarMaterial extends ShaderMaterial {
  constructor(student: Student) {
    const { width } = student;
    super({
      name: "AvatarMaterial",
      uniforms: { condition: { value: new Float32Array(student.conditionBias) } },
      vertexShader: `#include <common>
#include <logdepthbuf_pars_vertex>
${vertexDeclarations(width, 2)}
void main() {
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
${vertexStatements(width)}
#include <logdepthbuf_vertex>
}`,
      // The student gives values as they are displayed; three.js computes with linear ones.
      fragmentShader: `#include <common>
#include <logdepthbuf_pars_fragment>
${colourFunction(student)}
void main() {
#include <logdepthbuf_fragment>
  vec3 shown = surfaceColour();
  vec3 light = mix(pow((shown + 0.055) / 1.055, vec3(2.4)), shown / 12.92,
    vec3(lessThanEqual(shown, vec3(0.04045))));
  gl_FragColor = vec4(light, 1.0);
#include <colorspace_fragment>
}`,
    });
    this.toneMapped = false;
  }
}

/** A mesh in metres, whose vertices follow expression and pose. The face looks along +Z. */
export class AvatarMesh extends Mesh<BufferGeometry, AvatarMaterial> {
  private readonly deformer: Deformer;
  private readonly expression: Float32Array;
  private readonly pose = new Float32Array(POSE_SIZE);

  constructor(readonly model: Model) {
    super(new BufferGeometry(), new AvatarMaterial(model.student));
    this.deformer = new Deformer(model);
    this.expression = new Float32Array(model.expressionNames.length);
    const { geometry, deformer } = this;
    for (const [name, values] of [
      ["position", deformer.positions],
      ["normal", deformer.normals],
    ] as const) {
      geometry.setAttribute(name, new BufferAttribute(values, 3).setUsage(DynamicDrawUsage));
    }
    const { width, features } = model.student;
    const buffer = new InterleavedBuffer(features, width);
    for (let block = 0; block < width / 4; block++) {
      const attribute = new InterleavedBufferAttribute(buffer, 4, 4 * block);
      geometry.setAttribute(`feature${block}`, attribute);
    }
    geometry.setIndex(new BufferAttribute(model.faces, 1));
    this.scale.setScalar(1 / UNITS_PER_METRE);
    this.update();
  }

  /** Set one expression by its name. */
  setExpression(name: string, value: number): void {
    const index = this.model.expressionNames.indexOf(name);
    if (index < 0) throw new RangeError(`the avatar has no expression ${name}`);
    if (!areFinite([value]))
      throw new RangeError(`an expression must be a finite number, got ${value}`);
    this.expression[index] = value;
    this.update();
  }

  /** Set all expressions, and the pose: axis-angle of global, neck, jaw and eyes in radians. */
  setFlame(expression: ArrayLike<number>, pose: ArrayLike<number>): void {
    for (const [what, values, count] of [
      ["expression", expression, this.expression.length],
      ["pose", pose, POSE_SIZE],
    ] as const) {
      if (values.length !== count || !areFinite(values))
        throw new RangeError(`the ${what} must be ${count} finite numbers, got ${values.length}`);
    }
    this.expression.set(expression);
    this.pose.set(pose);
    this.update();
  }

  /** Free the memory of the graphics device. */
  dispose(): void {
    this.geometry.dispose();
    this.material.dispose();
  }

  private update(): void {
    const { deformer, geometry, model, expression, pose } = this;
    deformer.pose(expression, pose);
    geometry.getAttribute("position").needsUpdate = true;
    geometry.getAttribute("normal").needsUpdate = true;
    geometry.computeBoundingSphere();
    this.material.uniforms["condition"]!.value = conditionOf(model, expression, pose);
  }
}

/** Load an avatar file as a mesh.
 *
 * @throws AvatarError: it cannot be loaded, or is not an avatar file of this version.
 */
export async function loadAvatarMesh(url: string, signal?: AbortSignal): Promise<AvatarMesh> {
  return new AvatarMesh(await loadModel(url, signal));
}
