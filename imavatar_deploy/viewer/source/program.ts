/** Programs of WebGL 2. */

import { AvatarError } from "./model";

/** Compile and link a program.
 *
 * @throws AvatarError: the graphics driver refuses it.
 */
export function link(gl: WebGL2RenderingContext, vertex: string, fragment: string): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ] as const) {
    const shader = gl.createShader(type);
    if (!shader) continue; // the context is lost
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new AvatarError(
      `The graphics driver refuses the avatar's shader: ${gl.getProgramInfoLog(program) ?? ""}`,
    );
  }
  return program;
}
