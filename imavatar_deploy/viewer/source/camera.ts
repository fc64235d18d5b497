/** The view: a pinhole camera that orbits the head, as `imavatar_deploy/camera.py`. */

import type { View } from "./cameras";
import { apply, multiply, rotation } from "./kinematics";
import type { ImageMatrix } from "./renderer";

const MAX_PITCH = 1.3;
const ZOOM_RANGE = [0.3, 8] as const;
const LENS_TOLERANCE = 0.05; // of fy / fx, up to which a picture is square

export class OrbitCamera {
  private yaw = 0;
  private pitch = 0;
  private scale = 1;
  private base: View; // what the orbit turns and enlarges
  private followed: View;
  private isTouched = false;

  constructor(private readonly front: View) {
    this.base = this.followed = front;
  }

  /** Look through the camera of a motion, or from the front where there is none.
   *
   * Once the user has turned or enlarged the view, it stays with its camera until `reset`.
   *
   * @returns whether the view changes.
   */
  follow(camera: View | null): boolean {
    this.followed = camera ?? this.front;
    if (this.isTouched || this.base === this.followed) return false;
    this.base = this.followed;
    return true;
  }

  /** Turn about the head; radians. */
  turn(yaw: number, pitch: number): void {
    this.isTouched = true;
    this.yaw = (this.yaw + yaw) % (2 * Math.PI);
    this.pitch = Math.min(MAX_PITCH, Math.max(-MAX_PITCH, this.pitch + pitch));
  }

  /** Enlarge the image by a factor. */
  zoom(factor: number): void {
    this.isTouched = true;
    this.scale = Math.min(ZOOM_RANGE[1], Math.max(ZOOM_RANGE[0], this.scale * factor));
  }

  /** Return to the camera that is followed, or to the view from the front. */
  reset(): void {
    this.isTouched = false;
    this.base = this.followed;
    this.yaw = this.pitch = 0;
    this.scale = 1;
  }

  /** The projection to an image of a size; the whole picture of the camera is in it. */
  imageMatrix(width: number, height: number): ImageMatrix {
    const rows = this.base.worldToCamera;
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
    const [fx, fy, cx, cy] = this.base.intrinsics as [number, number, number, number];
    const aspect = Math.abs(fy / fx - 1) <= LENS_TOLERANCE ? 1 : fy / fx; // of its picture
    const across = Math.min(width, aspect * height);
    const down = Math.min(height, width / aspect);
    const focal = [fx * across * this.scale, fy * down * this.scale];
    const centre = [width * 0.5 + (cx - 0.5) * across, height * 0.5 + (cy - 0.5) * down];
    const world = [0, 1, 2].map((row) => [...turned.slice(3 * row, 3 * row + 3), moved[row]!]);
    return [
      ...world[0]!.map((value, i) => focal[0]! * value - centre[0]! * world[2]![i]!),
      ...world[1]!.map((value, i) => -focal[1]! * value - centre[1]! * world[2]![i]!),
      ...world[2]!.map((value) => -value),
    ];
  }
}
