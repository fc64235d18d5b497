/** The view: a pinhole camera that orbits the head, as `imavatar_deploy/camera.py`. */

import { apply, multiply, rotation } from "./kinematics";
import type { Model } from "./model";
import type { ImageMatrix } from "./renderer";

const MAX_PITCH = 1.3;
const ZOOM_RANGE = [0.3, 8] as const;

export class OrbitCamera {
  private yaw = 0;
  private pitch = 0;
  private scale = 1;

  constructor(private readonly front: Model["camera"]) {}

  /** Turn about the head; radians. */
  turn(yaw: number, pitch: number): void {
    this.yaw = (this.yaw + yaw) % (2 * Math.PI);
    this.pitch = Math.min(MAX_PITCH, Math.max(-MAX_PITCH, this.pitch + pitch));
  }

  /** Enlarge the image by a factor. */
  zoom(factor: number): void {
    this.scale = Math.min(ZOOM_RANGE[1], Math.max(ZOOM_RANGE[0], this.scale * factor));
  }

  /** Return to the view from the front. */
  reset(): void {
    this.yaw = this.pitch = 0;
    this.scale = 1;
  }

  /** The projection to an image of a size; the whole square of the front view is in it. */
  imageMatrix(width: number, height: number): ImageMatrix {
    const rows = this.front.worldToCamera;
    const r = [0, 1, 2].flatMap((row) => rows.slice(4 * row, 4 * row + 3));
    const t = [rows[3]!, rows[7]!, rows[11]!];
    const pivot = [0, 0, -Math.hypot(...t)];
    const turned = multiply(rotation(this.pitch, 0, 0), multiply(r, rotation(0, -this.yaw, 0)));
    const transposed = [0, 3, 6, 1, 4, 7, 2, 5, 8].map((i) => r[i]!);
    const focus = apply(
      transposed,
      pivot.map((value, i) => value - t[i]!),
    );
    const moved = apply(turned, focus).map((value, i) => pivot[i]! - value);
    const [fx, fy, cx, cy] = this.front.intrinsics as [number, number, number, number];
    const side = Math.min(width, height);
    const focal = [fx * side * this.scale, fy * side * this.scale];
    const centre = [width * 0.5 + (cx - 0.5) * side, height * 0.5 + (cy - 0.5) * side];
    const world = [0, 1, 2].map((row) => [...turned.slice(3 * row, 3 * row + 3), moved[row]!]);
    return [
      ...world[0]!.map((value, i) => focal[0]! * value - centre[0]! * world[2]![i]!),
      ...world[1]!.map((value, i) => -focal[1]! * value - centre[1]! * world[2]![i]!),
      ...world[2]!.map((value) => -value),
    ];
  }
}
