/** Tracks: motions in the project's JSON file, `flame_params.json`. */

import { POSE_SIZE } from "./kinematics";
import { AvatarError, type Model } from "./model";

const DEFAULT_FPS = 25;
const MAX_FRAMES = 200_000;

/** A motion of T frames, evenly spaced in time. */
export interface Track {
  fps: number;
  expression: Float32Array[];
  pose: Float32Array[];
}

/** Read the text of a track file.
 *
 * @throws AvatarError: it is not a track, or was made for another head model.
 */
export function parseTrack(text: string, model: Model): Track {
  let document: { fps?: unknown; head_model?: unknown; frames?: unknown };
  try {
    document = JSON.parse(text) as typeof document;
  } catch {
    throw new AvatarError(
      "The file is not a track: it is not JSON. Drop a flame_params.json file here.",
    );
  }
  const { frames, head_model: headModel, fps = DEFAULT_FPS } = document ?? {};
  if (!Array.isArray(frames) || !frames.length || frames.length > MAX_FRAMES) {
    throw new AvatarError(
      "The file is not a track: it has no list of frames. Drop a flame_params.json file here.",
    );
  }
  if (typeof headModel === "string" && headModel !== model.headModel) {
    throw new AvatarError(
      `The track is for the head model ${headModel}, and this avatar has ${model.headModel}.`,
    );
  }
  if (typeof fps !== "number" || !(fps > 0 && fps <= 1000)) {
    throw new AvatarError("The track has no valid frame rate: its fps must be a positive number.");
  }
  const rows = (key: string, size: number) =>
    frames.map((frame: Record<string, unknown> | null, index: number) => {
      const values = frame?.[key];
      if (!Array.isArray(values) || values.length !== size || !areFinite(values)) {
        throw new AvatarError(`Frame ${index + 1} of the track has no ${key} of ${size} numbers.`);
      }
      return Float32Array.from(values as number[]);
    });
  return {
    fps,
    expression: rows("expression", model.expressionNames.length),
    pose: rows("pose", POSE_SIZE),
  };
}

/** Whether all values are numbers that are finite in 32 bits, in which they are computed. */
export function areFinite(values: ArrayLike<unknown>): boolean {
  return Array.from(values).every(
    (value) => typeof value === "number" && Number.isFinite(Math.fround(value)),
  );
}

/** Seconds from the first frame to the end of the last. */
export function duration(track: Track): number {
  return track.pose.length / track.fps;
}

/** Expression and pose at a time, linear between frames. */
export function sample(
  track: Track,
  seconds: number,
): { expression: Float32Array; pose: Float32Array } {
  const last = track.pose.length - 1;
  const at = Math.min(last, Math.max(0, seconds * track.fps));
  const index = Math.floor(at);
  const next = Math.min(last, index + 1);
  const share = at - index;
  const mix = (rows: Float32Array[]) =>
    rows[index]!.map((value, i) => value + share * (rows[next]![i]! - value));
  return { expression: mix(track.expression), pose: mix(track.pose) };
}
