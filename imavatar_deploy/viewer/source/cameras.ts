/** Cameras of a motion that is followed: the messages of `docs/flame-stream.md`, which has test
 * vectors for them, and the camera at any time. Times are in seconds on the sender's clock.
 */

import { multiply, rotation } from "./kinematics";
import { AvatarError, type Model } from "./model";

/** A pinhole camera: rows of [R | t], and fx, fy, cx, cy as fractions of width and height. */
export type View = Model["camera"];

const MAX_CHARACTERS = 1200;
const CAPACITY = 256;
const CUT_RADIANS = 0.5; // between the cameras of two packets, where the recording was cut
const ORTHONORMALITY_TOLERANCE = 1e-2;

/** Read the message of a camera.
 *
 * @returns null where the motion has no camera from now on, undefined for a message of another kind.
 * @throws AvatarError: a message that receivers must refuse.
 */
export function decodeCamera(text: string): View | null | undefined {
  if (text.length > MAX_CHARACTERS)
    throw new AvatarError(`A message has at most ${MAX_CHARACTERS} characters.`);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new AvatarError("A message is a JSON object.");
  }
  if (!isObject(content)) throw new AvatarError("A message is a JSON object.");
  const { camera } = content;
  if (camera === undefined || camera === null) return camera;
  if (!isObject(camera)) throw new AvatarError("A camera is an object or null.");
  const { world_to_camera: worldToCamera, intrinsics } = camera;
  if (!areNumbers(worldToCamera, 12) || !areNumbers(intrinsics, 4))
    throw new AvatarError("A camera has 12 and 4 finite numbers.");
  if (!isRotation(turnOf(worldToCamera)) || !(intrinsics[0]! > 0 && intrinsics[1]! > 0))
    throw new AvatarError("The message is not that of a camera.");
  return { worldToCamera, intrinsics };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function areNumbers(value: unknown, count: number): value is number[] {
  return (
    Array.isArray(value) &&
    value.length === count &&
    value.every((each) => typeof each === "number" && Math.abs(each) < 1e30)
  );
}

/** The rotation of a camera, row by row. */
function turnOf(worldToCamera: readonly number[]): number[] {
  return [0, 1, 2].flatMap((row) => worldToCamera.slice(4 * row, 4 * row + 3));
}

function transposed(m: readonly number[]): number[] {
  return [0, 3, 6, 1, 4, 7, 2, 5, 8].map((i) => m[i]!);
}

function isRotation(m: readonly number[]): boolean {
  const product = multiply(m, transposed(m));
  const error = product.map((value, at) => Math.abs(value - (at % 4 === 0 ? 1 : 0)));
  const [first, second, third] = [0, 3, 6].map((row) => m.slice(row, row + 3));
  const [a, b, c] = first as [number, number, number];
  const [d, e, f] = second as [number, number, number];
  const [g, h, i] = third as [number, number, number];
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return Math.max(...error) <= ORTHONORMALITY_TOLERANCE && determinant > 0;
}

/** The axis-angle of a rotation. */
function rotationVector(m: readonly number[]): number[] {
  const axis = [(m[7]! - m[5]!) / 2, (m[2]! - m[6]!) / 2, (m[3]! - m[1]!) / 2];
  const sine = Math.hypot(...axis);
  const angle = Math.atan2(sine, (m[0]! + m[4]! + m[8]! - 1) / 2);
  return axis.map((value) => (sine > 1e-12 ? (value * angle) / sine : value + angle));
}

/** The camera between those of two packets. */
export function cameraBetween(before: View, after: View, share: number): View {
  const matrix = turnOf(before.worldToCamera);
  const turn = rotationVector(multiply(turnOf(after.worldToCamera), transposed(matrix)));
  if (Math.hypot(...turn) > CUT_RADIANS) return share < 1 ? before : after;
  const mixed = (a: readonly number[], b: readonly number[]) =>
    a.map((value, i) => value + share * (b[i]! - value));
  const [x, y, z] = turn.map((value) => share * value) as [number, number, number];
  const turned = multiply(rotation(x, y, z), matrix);
  const worldToCamera = mixed(before.worldToCamera, after.worldToCamera);
  turned.forEach((value, i) => (worldToCamera[4 * Math.floor(i / 3) + (i % 3)] = value));
  return { worldToCamera, intrinsics: mixed(before.intrinsics, after.intrinsics) };
}

/** The camera of every packet, in their order; null where the motion has none. */
export class CameraBuffer {
  private readonly entries: { time: number; camera: View | null }[] = [];

  clear(): void {
    this.entries.length = 0;
  }

  /** Add the camera of a packet; one that is not newer than the packet before is dropped. */
  add(time: number, camera: View | null): void {
    const last = this.entries.at(-1);
    if (last && time <= last.time) return;
    this.entries.push({ time, camera });
    if (this.entries.length > CAPACITY) this.entries.shift();
  }

  /** The camera at a time; beyond the newest packet, its own. */
  read(time: number): View | null {
    const { entries } = this;
    let index = entries.length - 1;
    while (index > 0 && entries[index]!.time > time) index--;
    const [entry, next] = [entries[index], entries[index + 1]];
    if (!entry) return null;
    const { camera } = entry;
    if (!next?.camera || !camera || camera === next.camera || time <= entry.time) return camera;
    return cameraBetween(camera, next.camera, (time - entry.time) / (next.time - entry.time));
  }
}
