/** WebGL2 renderer of one avatar. */

import { GpuDeformer, type Geometry } from "./gpu_deformer";
import { AvatarError, type Model } from "./model";
import { link } from "./program";
import { colourShader, NORMAL_SHADER, vertexShader } from "./shaders";

/** Projection to pixels, rows of [3, 4], as `Camera.image_matrix` of the Python package. */
export type ImageMatrix = readonly number[];

const NEAR = 0.05;
/** The head and its shoulders lie within this distance of the origin; model units. */
const RADIUS = 2.5;

interface Programs {
  colour: WebGLProgram;
  normal: WebGLProgram;
}

export class Renderer {
  private readonly gl: WebGL2RenderingContext;
  private programs!: Programs;
  private surface!: WebGLVertexArrayObject;
  private deformer!: GpuDeformer;

  /** @throws AvatarError: the browser has no WebGL2. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly model: Model,
  ) {
    const gl = canvas.getContext("webgl2", {
      alpha: true,
      antialias: true,
      depth: true,
      premultipliedAlpha: true,
    });
    if (!gl)
      throw new AvatarError(
        "This browser cannot show the avatar: it has no WebGL 2, or it is switched off.",
      );
    this.gl = gl;
    this.restore();
  }

  /** Whether the context can draw; it cannot between its loss and its return. */
  get isReady(): boolean {
    return !this.gl.isContextLost();
  }

  /** Create all objects of the context, at the start and after its loss. */
  restore(): void {
    const { gl, model } = this;
    const { width, features } = model.student;
    const vertex = vertexShader(width);
    this.programs = {
      colour: link(gl, vertex, colourShader(model.student)),
      normal: link(gl, vertex, NORMAL_SHADER),
    };
    this.surface = gl.createVertexArray();
    gl.bindVertexArray(this.surface);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, features, gl.STATIC_DRAW);
    for (let block = 0; block < width / 4; block++) {
      gl.enableVertexAttribArray(block);
      gl.vertexAttribPointer(block, 4, gl.FLOAT, false, 4 * width, 16 * block);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, model.faces, gl.STATIC_DRAW);
    this.deformer = new GpuDeformer(gl, model);
    for (const program of Object.values(this.programs)) this.deformer.bind(program);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.CULL_FACE);
  }

  /** Deform the surface by an expression and a pose. */
  pose(expression: ArrayLike<number>, pose: ArrayLike<number>): void {
    this.deformer.pose(expression, pose);
  }

  /** Read the deformed surface back. */
  geometry(): Geometry {
    return this.deformer.read();
  }

  /** Draw the surface into the canvas, anti-aliased, over a transparent background. */
  draw(condition: Float32Array, matrix: ImageMatrix): void {
    this.gl.bindFramebuffer(this.gl.FRAMEBUFFER, null);
    this.drawTo(this.programs.colour, condition, matrix, this.canvas.width, this.canvas.height);
  }

  /** Draw the surface without anti-aliasing and return RGBA bytes, the top row first.
   *
   * @param normals: draw normals, components -1..1 as bytes 1..255, in place of colours.
   */
  pixels(
    condition: Float32Array,
    matrix: ImageMatrix,
    width: number,
    height: number,
    normals = false,
  ): Uint8Array {
    const { gl } = this;
    const target = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    const buffers = [
      [gl.COLOR_ATTACHMENT0, gl.RGBA8],
      [gl.DEPTH_ATTACHMENT, gl.DEPTH_COMPONENT24],
    ].map(([attachment, format]) => {
      const buffer = gl.createRenderbuffer();
      gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
      gl.renderbufferStorage(gl.RENDERBUFFER, format!, width, height);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, attachment!, gl.RENDERBUFFER, buffer);
      return buffer;
    });
    this.drawTo(
      normals ? this.programs.normal : this.programs.colour,
      condition,
      matrix,
      width,
      height,
    );
    const rows = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rows);
    gl.deleteFramebuffer(target);
    buffers.forEach((buffer) => gl.deleteRenderbuffer(buffer));
    return upright(rows, width, height);
  }

  private drawTo(
    program: WebGLProgram,
    condition: Float32Array,
    matrix: ImageMatrix,
    width: number,
    height: number,
  ): void {
    const { gl } = this;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(program);
    gl.uniformMatrix4fv(
      gl.getUniformLocation(program, "projection"),
      false,
      clipMatrix(matrix, width, height),
    );
    gl.uniform4fv(gl.getUniformLocation(program, "condition"), condition);
    gl.bindVertexArray(this.surface);
    gl.drawElements(gl.TRIANGLES, this.model.faces.length, gl.UNSIGNED_INT, 0);
  }
}

/** Clip coordinates from pixel coordinates, column by column.
 *
 * Pixel centres are at integer coordinates, and row 0 is at the top; in WebGL the centre of the
 * first pixel is half a pixel from the lower left corner.
 */
function clipMatrix(matrix: ImageMatrix, width: number, height: number): Float32Array {
  const out = new Float32Array(16);
  // Planes close around the head leave more of the 24 bits of depth to it.
  const near = Math.max(NEAR, matrix[11]! - RADIUS);
  const far = Math.max(matrix[11]!, NEAR) + RADIUS;
  for (let column = 0; column < 4; column++) {
    const [x, y, w] = [matrix[column]!, matrix[4 + column]!, matrix[8 + column]!];
    out[4 * column] = (2 * x + w) / width - w;
    out[4 * column + 1] = w - (2 * y + w) / height;
    out[4 * column + 2] =
      ((far + near) / (far - near)) * w - (column === 3 ? (2 * far * near) / (far - near) : 0);
    out[4 * column + 3] = w;
  }
  return out;
}

/** Rows of an image from the top to the bottom. */
function upright(rows: Uint8Array, width: number, height: number): Uint8Array {
  const out = new Uint8Array(rows.length);
  for (let row = 0; row < height; row++) {
    out.set(rows.subarray(4 * width * row, 4 * width * (row + 1)), 4 * width * (height - 1 - row));
  }
  return out;
}
