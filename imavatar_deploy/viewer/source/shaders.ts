/** The student as shaders, as `imavatar_deploy/student.py`; its weights are constants in them. */

import type { Student } from "./model";

const number = (value: number): string => {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? text : `${text}.0`;
};

const vec4 = (values: ArrayLike<number>, start: number): string =>
  `vec4(${[0, 1, 2, 3].map((i) => number(values[start + i]!)).join(", ")})`;

const blocks = (width: number): number[] => Array.from({ length: width / 4 }, (_, i) => i);

export function vertexShader(width: number): string {
  return `#version 300 es
uniform mat4 projection;
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
${blocks(width)
  .map((i) => `layout(location = ${i + 2}) in vec4 feature${i};`)
  .join("\n")}
centroid out vec3 surfaceNormal;
${blocks(width)
  .map((i) => `centroid out vec4 surfaceFeature${i};`)
  .join("\n")}
void main() {
  gl_Position = projection * vec4(position, 1.0);
  surfaceNormal = normal;
${blocks(width)
  .map((i) => `  surfaceFeature${i} = feature${i};`)
  .join("\n")}
}`;
}

/** The colour of a pixel. The first layer's constant of the frame is the uniform \`condition\`. */
export function colourShader(student: Student): string {
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
  return `#version 300 es
precision highp float;
uniform vec4 condition[${width / 4}];
centroid in vec3 surfaceNormal;
${all.map((i) => `centroid in vec4 surfaceFeature${i};`).join("\n")}
out vec4 colour;
void main() {
  vec3 n = surfaceNormal / max(length(surfaceNormal), 1e-20);
${first.join("\n")}
${second.join("\n")}
  vec3 logits = vec3(${[0, 1, 2].map(channel).join(", ")});
  colour = vec4(1.0 / (1.0 + exp(-logits)), 1.0);
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
