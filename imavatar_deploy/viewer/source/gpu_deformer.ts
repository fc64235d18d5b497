/** Vertices and normals of a posed avatar on the GPU; `imavatar_deploy/avatar.py` has the equations.
 *
 * Two passes draw into textures that hold one vertex per texel: positions, then normals, which read
 * the positions of the faces around their vertex. Results are the bits of floats in integer
 * textures, because WebGL 2 cannot draw into float textures without an extension. No size exceeds
 * what every WebGL 2 provides: 2048 texels, and 256 layers.
 */

import { jointsOf, poseFeature, POSE_SIZE, skinningTransforms } from "./kinematics";
import type { Model } from "./model";
import { link } from "./program";

const COLUMN_BITS = 9;
const ROW_BITS = 11;
const COLUMNS = 1 << COLUMN_BITS;
const ROWS = 1 << ROW_BITS;

const MAX_SHORT = 32767;
const NEGLIGIBLE = 1e-9;

/** Texture units of what the passes read. */
const UNITS = { constants: 0, basis: 1, corners: 2, positions: 3, normals: 4 } as const;

/** GLSL that reads the posed surface: `positionOf` and `normalOf` of a vertex. */
export const POSED_SURFACE = `
precision highp usampler2D;
uniform usampler2D positions;
uniform usampler2D normals;
ivec2 texelOf(int vertex) {
  return ivec2(vertex & ${COLUMNS - 1}, vertex >> ${COLUMN_BITS});
}
vec3 positionOf(int vertex) {
  return uintBitsToFloat(texelFetch(positions, texelOf(vertex), 0).xyz);
}
vec3 normalOf(int vertex) {
  return uintBitsToFloat(texelFetch(normals, texelOf(vertex), 0).xyz);
}`;

/** A triangle that covers the target. */
const COVER = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, 0, 1);
}`;

/** Declarations of both passes, and `moved`: linear blend skinning of a point or a direction. */
function passShader(boneCount: number, body: string): string {
  const row = (axis: number) =>
    Array.from(
      { length: boneCount },
      (_, bone) => `weights${bone >> 2}[${bone & 3}] * bones[${3 * bone + axis}]`,
    ).join(" + ");
  return `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2DArray;
precision highp isampler2DArray;
precision highp usampler2DArray;
uniform sampler2DArray constants;
uniform vec4 bones[${3 * boneCount}];
out uvec4 result;
vec4 constantOf(int layer) {
  return texelFetch(constants, ivec3(gl_FragCoord.xy, layer), 0);
}
vec3 moved(vec4 v) {
  vec4 weights0 = constantOf(2), weights1 = constantOf(3);
  return vec3(dot(${row(0)}, v), dot(${row(1)}, v), dot(${row(2)}, v));
}
${body}`;
}

/** Rest positions plus the blendshapes and correctives that are not zero, skinned.
 *
 * They come in pairs of (layer, factor): in software, a loop over single ones takes a third longer.
 */
const positionPass = (shapes: number): string => `
uniform isampler2DArray basis;
uniform int pairCount;
uniform vec4 pairs[${Math.ceil(shapes / 2)}];
vec3 shapeOf(float layer) {
  return vec3(texelFetch(basis, ivec3(gl_FragCoord.xy, layer), 0).xyz);
}
void main() {
  vec3 shaped = constantOf(0).xyz;
  for (int i = 0; i < pairCount; i++) {
    vec4 pair = pairs[i];
    shaped += pair.y * shapeOf(pair.x) + pair.w * shapeOf(pair.z);
  }
  result = uvec4(floatBitsToUint(moved(vec4(shaped, 1))), 0);
}`;

/** The mean of the normals of the faces around a vertex, weighted by areas, plus the detail. */
const NORMAL_PASS = `
uniform usampler2DArray corners;
${POSED_SURFACE}
vec3 unit(vec3 v) {
  float size = length(v);
  return size > 0.0 ? v / size : vec3(0);
}
void main() {
  vec4 rest = constantOf(0), detail = constantOf(1);
  vec3 here = uintBitsToFloat(texelFetch(positions, ivec2(gl_FragCoord.xy), 0).xyz);
  int first = int(rest.w), end = first + int(detail.w);
  vec3 sum = vec3(0);
  for (int i = first; i < end; i++) {
    ivec3 texel = ivec3(texelOf(i & ${COLUMNS * ROWS - 1}), i >> ${COLUMN_BITS + ROW_BITS});
    ivec2 others = ivec2(texelFetch(corners, texel, 0).xy);
    sum += cross(positionOf(others.x) - here, positionOf(others.y) - here);
  }
  vec3 normal = unit(unit(sum) + moved(vec4(detail.xyz, 0)));
  result = uvec4(floatBitsToUint(normal), 0);
}`;

/** A deformed surface, in model units. */
export interface Geometry {
  positions: Float32Array; // [V, 3]
  normals: Float32Array; // [V, 3], unit
}

/** The deformation of one avatar in one context. */
export class GpuDeformer {
  private readonly rows: number;
  private readonly scales: Float32Array;
  private readonly joints: Float64Array;
  private readonly positionProgram: WebGLProgram;
  private readonly normalProgram: WebGLProgram;
  private readonly positions: WebGLFramebuffer;
  private readonly normals: WebGLFramebuffer;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly model: Model,
  ) {
    const { boneCount, vertexCount } = model;
    this.rows = Math.ceil(vertexCount / COLUMNS);
    this.joints = new Float64Array(model.jointsRest.length);
    const { faces, first } = cornersOf(model);
    this.uploadConstants(first);
    this.scales = this.uploadBasis();
    this.uploadCorners(faces);
    this.positions = this.createTarget(UNITS.positions);
    this.normals = this.createTarget(UNITS.normals);
    this.positionProgram = link(gl, COVER, passShader(boneCount, positionPass(this.scales.length)));
    this.normalProgram = link(gl, COVER, passShader(boneCount, NORMAL_PASS));
    for (const program of [this.positionProgram, this.normalProgram]) this.bind(program);
  }

  /** Let a program with `POSED_SURFACE` read the posed surface. */
  bind(program: WebGLProgram): void {
    const { gl } = this;
    gl.useProgram(program);
    for (const [name, unit] of Object.entries(UNITS))
      gl.uniform1i(gl.getUniformLocation(program, name), unit);
  }

  /** Compute positions and normals of an expression and a pose. */
  pose(expression: ArrayLike<number>, pose: ArrayLike<number>): void {
    const { gl, joints, model, positionProgram, normalProgram } = this;
    const size = model.expressionNames.length;
    if (expression.length !== size || pose.length !== POSE_SIZE)
      throw new RangeError(
        `a face has ${size} expressions and ${POSE_SIZE} numbers of a pose, ` +
          `got ${expression.length} and ${pose.length}`,
      );
    const pairs = this.pairsOf([...Array.from(expression), ...poseFeature(pose)]);
    jointsOf(model, expression, joints);
    const bones = new Float32Array(skinningTransforms(pose, joints, model.boneCount));
    gl.viewport(0, 0, COLUMNS, this.rows);
    gl.useProgram(positionProgram);
    gl.uniform1i(gl.getUniformLocation(positionProgram, "pairCount"), pairs.length / 4);
    if (pairs.length) gl.uniform4fv(gl.getUniformLocation(positionProgram, "pairs"), pairs);
    this.draw(positionProgram, this.positions, bones);
    gl.useProgram(normalProgram);
    this.draw(normalProgram, this.normals, bones);
  }

  /** Read the surface of the last pose back. */
  read(): Geometry {
    return { positions: this.readFrom(this.positions), normals: this.readFrom(this.normals) };
  }

  private draw(program: WebGLProgram, target: WebGLFramebuffer, bones: Float32Array): void {
    const { gl } = this;
    gl.uniform4fv(gl.getUniformLocation(program, "bones"), bones);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  private readFrom(target: WebGLFramebuffer): Float32Array {
    const { gl, rows } = this;
    const { vertexCount } = this.model;
    const bits = new Uint32Array(4 * COLUMNS * rows);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.readPixels(0, 0, COLUMNS, rows, gl.RGBA_INTEGER, gl.UNSIGNED_INT, bits);
    return threeOfFour(new Float32Array(bits.buffer), vertexCount);
  }

  /** Layer and factor of every shape that is moved, padded to pairs. */
  private pairsOf(coefficients: readonly number[]): Float32Array {
    const terms = coefficients.flatMap((value, shape) => {
      const scale = this.scales[shape]!;
      return scale === 0 || Math.abs(value) < NEGLIGIBLE ? [] : [shape, value * scale];
    });
    if (terms.length % 4) terms.push(0, 0);
    return Float32Array.from(terms);
  }

  /** Rest position and first corner; normal detail and number of corners; weights of the bones. */
  private uploadConstants(first: Uint32Array): void {
    const { gl, rows } = this;
    const { boneCount, normalDetail, rest, skinWeights, vertexCount } = this.model;
    const layer = 4 * COLUMNS * rows;
    const values = new Float32Array(4 * layer);
    for (let vertex = 0; vertex < vertexCount; vertex++) {
      const at = 4 * vertex;
      values.set(rest.subarray(3 * vertex, 3 * vertex + 3), at);
      values[at + 3] = first[vertex]!;
      values.set(normalDetail.subarray(3 * vertex, 3 * vertex + 3), layer + at);
      values[layer + at + 3] = first[vertex + 1]! - first[vertex]!;
      for (let bone = 0; bone < boneCount; bone++)
        values[(2 + (bone >> 2)) * layer + at + (bone & 3)] =
          skinWeights[vertex * boneCount + bone]!;
    }
    this.createLayers(UNITS.constants, gl.RGBA32F, rows, 4);
    this.fillLayers(0, rows, 4, gl.RGBA, gl.FLOAT, values);
  }

  /** One layer of 16-bit integers per shape; return the unit of each, from its largest value.
   *
   * They have four channels, as graphics hardware stores three: the driver converts nothing.
   */
  private uploadBasis(): Float32Array {
    const { gl, rows } = this;
    const { basis, vertexCount } = this.model;
    const size = 3 * vertexCount;
    const scales = new Float32Array(basis.length / size);
    this.createLayers(UNITS.basis, gl.RGBA16I, rows, scales.length);
    const codes = new Int16Array(4 * COLUMNS * rows);
    for (let shape = 0; shape < scales.length; shape++) {
      const start = shape * size;
      const largest = largestSize(basis.subarray(start, start + size));
      scales[shape] = largest / MAX_SHORT;
      const inverse = largest > 0 ? MAX_SHORT / largest : 0;
      for (let from = start, to = 0; from < start + size; from += 3, to += 4) {
        // Several times faster than Math.round
        codes[to] = Math.floor(basis[from]! * inverse + 0.5);
        codes[to + 1] = Math.floor(basis[from + 1]! * inverse + 0.5);
        codes[to + 2] = Math.floor(basis[from + 2]! * inverse + 0.5);
      }
      this.fillLayers(shape, rows, 1, gl.RGBA_INTEGER, gl.SHORT, codes);
    }
    return scales;
  }

  /** The pairs of `cornersOf`, which fill as many layers as they need. */
  private uploadCorners(corners: Uint32Array): void {
    const { gl } = this;
    const rows = Math.ceil(corners.length / 2 / COLUMNS);
    const layers = Math.ceil(rows / ROWS);
    const height = Math.min(rows, ROWS);
    const values = new Uint32Array(2 * COLUMNS * height * layers);
    values.set(corners);
    this.createLayers(UNITS.corners, gl.RG32UI, height, layers);
    this.fillLayers(0, height, layers, gl.RG_INTEGER, gl.UNSIGNED_INT, values);
  }

  private createLayers(unit: number, format: GLenum, rows: number, count: number): void {
    const { gl } = this;
    this.createTexture(unit, gl.TEXTURE_2D_ARRAY);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, format, COLUMNS, rows, count);
  }

  /** Fill `count` layers of the texture that was created last. */
  private fillLayers(
    layer: number,
    rows: number,
    count: number,
    format: GLenum,
    type: GLenum,
    values: ArrayBufferView,
  ): void {
    const { gl } = this;
    const kind = gl.TEXTURE_2D_ARRAY;
    gl.texSubImage3D(kind, 0, 0, 0, layer, COLUMNS, rows, count, format, type, values);
  }

  /** Create a texture of one vertex per texel to draw into. */
  private createTarget(unit: number): WebGLFramebuffer {
    const { gl } = this;
    const texture = this.createTexture(unit, gl.TEXTURE_2D);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32UI, COLUMNS, this.rows);
    const target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    return target;
  }

  /** Create a texture without filter and bind it to a unit of its own. */
  private createTexture(unit: number, kind: GLenum): WebGLTexture {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(kind, texture);
    gl.texParameteri(kind, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(kind, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    return texture;
  }
}

/** The two other corners of every face around every vertex, in the order of the face.
 *
 * @returns `faces` [3 F, 2], those of a vertex one after another, and where they start: `first`.
 */
function cornersOf({ faces, vertexCount }: Model): { faces: Uint32Array; first: Uint32Array } {
  const first = new Uint32Array(vertexCount + 1);
  for (const vertex of faces) first[vertex + 1]!++;
  for (let vertex = 0; vertex < vertexCount; vertex++) first[vertex + 1]! += first[vertex]!;
  const next = first.slice();
  const others = new Uint32Array(2 * faces.length);
  for (let i = 0; i < faces.length; i++) {
    const face = i - (i % 3);
    const at = 2 * next[faces[i]!]!++;
    others[at] = faces[face + ((i + 1) % 3)]!;
    others[at + 1] = faces[face + ((i + 2) % 3)]!;
  }
  return { faces: others, first };
}

/** The largest absolute value. */
function largestSize(values: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (size > largest) largest = size;
  }
  return largest;
}

/** The first three of every four values. */
function threeOfFour(values: Float32Array, count: number): Float32Array {
  const out = new Float32Array(3 * count);
  for (let i = 0; i < count; i++) out.set(values.subarray(4 * i, 4 * i + 3), 3 * i);
  return out;
}
