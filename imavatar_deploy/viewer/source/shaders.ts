/** The student as shaders, as `imavatar_deploy/student.py`; its weights are constants in them. */

import { POSED_SURFACE } from "./gpu_deformer";
import type { Model, Student } from "./model";

const JAW = 6;

const number = (value: number): string => {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? text : `${text}.0`;
};

const vec4 = (values: ArrayLike<number>, start: number): string =>
  `vec4(${[0, 1, 2, 3].map((i) => number(values[start + i]!)).join(", ")})`;

const blocks = (width: number): number[] => Array.from({ length: width / 4 }, (_, i) => i);

/** Declarations of the vertex shader's outputs, and of its inputs from a location on. */
export function vertexDeclarations(width: number, location: number): string {
  const each = (line: (i: number) => string) => blocks(width).map(line).join("\n");
  return `${each((i) => `layout(location = ${i + location}) in vec4 feature${i};`)}
centroid out vec3 surfaceNormal;
${each((i) => `centroid out vec4 surfaceFeature${i};`)}`;
}

/** Statements that pass normal and features on. */
export function vertexStatements(width: number): string {
  return `  surfaceNormal = normal;
${blocks(width)
  .map((i) => `  surfaceFeature${i} = feature${i};`)
  .join("\n")}`;
}

export function vertexShader(width: number): string {
  return `#version 300 es
uniform mat4 projection;
${POSED_SURFACE}
${vertexDeclarations(width, 0)}
void main() {
  vec3 position = positionOf(gl_VertexID);
  vec3 normal = normalOf(gl_VertexID);
  gl_Position = projection * vec4(position, 1.0);
${vertexStatements(width)}
}`;
}

/** The function `surfaceColour` of a pixel, with its declarations.
 *
 * The first layer's constant of the frame is the uniform `condition`.
 */
export function colourFunction(student: Student): string {
  const { width, normalWeight: wn, hiddenWeight, colourWeight } = student;
  const all = blocks(width);
  const first = all.map(
    (i) => `  vec4 first${i} = max(surfaceFeature${i} + condition[${i}]
    + n.x * ${vec4(wn, 4 * i)} + n.y * ${vec4(wn, width + 4 * i)}
    + n.z * ${vec4(wn, 2 * width + 4 * i)}, 0.0);`,
  );
  // Column i of a block holds the weights from unit 4 a + i to units 4 b .. 4 b + 3.
  const block = (a: number, b: number): string =>
    `mat4(${[0, 1, 2, 3].map((i) => vec4(hiddenWeight, (4 * a + i) * width + 4 * b)).join(", ")})`;
  const second = all.map(
    (b) => `  vec4 second${b} = max(${vec4(student.hiddenBias, 4 * b)}
    ${all.map((a) => `+ ${block(a, b)} * first${a}`).join("\n    ")}, 0.0);`,
  );
  const channel = (c: number): string =>
    [
      number(student.colourBias[c]!),
      ...all.map(
        (a) =>
          `dot(second${a}, ${vec4(
            [0, 1, 2, 3].map((i) => colourWeight[(4 * a + i) * 3 + c]!),
            0,
          )})`,
      ),
    ].join(" + ");
  return `uniform vec4 condition[${width / 4}];
centroid in vec3 surfaceNormal;
${all.map((i) => `centroid in vec4 surfaceFeature${i};`).join("\n")}
vec3 surfaceColour() {
  vec3 n = surfaceNormal / max(length(surfaceNormal), 1e-20);
${first.join("\n")}
${second.join("\n")}
  vec3 logits = vec3(${[0, 1, 2].map(channel).join(", ")});
  return 1.0 / (1.0 + exp(-logits));
}`;
}

export function colourShader(student: Student): string {
  return `#version 300 es
precision highp float;
${colourFunction(student)}
out vec4 colour;
void main() {
  colour = vec4(surfaceColour(), 1.0);
}`;
}

/** The normal of a pixel as colour: components -1..1 as bytes 1..255. */
export const NORMAL_SHADER = `#version 300 es
precision highp float;
centroid in vec3 surfaceNormal;
out vec4 colour;
void main() {
  vec3 n = surfaceNormal / max(length(surfaceNormal), 1e-20);
  colour = vec4((127.0 * n + 128.0) / 255.0, 1.0);
}`;

/** The first layer's constant of a frame: expression and jaw through their weights. */
export function conditionOf(
  model: Model,
  expression: ArrayLike<number>,
  pose: ArrayLike<number>,
): Float32Array {
  const { width, conditionWeight, conditionBias } = model.student;
  const size = model.expressionNames.length;
  const constant = new Float64Array(conditionBias);
  for (let k = 0; k < size + 3; k++) {
    const value = k < size ? expression[k]! : pose[JAW + k - size]!;
    if (value === 0) continue;
    for (let unit = 0; unit < width; unit++)
      constant[unit]! += value * conditionWeight[k * width + unit]!;
  }
  return new Float32Array(constant);
}
