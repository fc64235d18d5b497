/** MediaPipe's face detector and landmark network, run by onnxruntime-web.
 *
 * The rules are those of `imavatar_deploy/vision/detector.py` and `landmark_network.py`.
 */

import {
  cropRegion,
  MARGIN,
  matrixOf,
  reduce,
  type FaceRegion,
  type Part,
  type Picture,
} from "./picture";

/** What is used of a session of onnxruntime-web. */
export interface Session {
  readonly inputNames: readonly string[];
  run(feeds: Record<string, unknown>): Promise<Record<string, { data: ArrayLike<number> }>>;
}

/** What is used of the module onnxruntime-web. */
export interface Runtime {
  readonly env: { wasm: { numThreads?: number; wasmPaths?: unknown } };
  readonly InferenceSession: { create(graph: string, options?: object): Promise<Session> };
  readonly Tensor: new (type: string, data: Float32Array, shape: number[]) => unknown;
}

/** A face that the detector found. */
export interface Detection {
  box: number[]; // left, top, right, bottom
  keypoints: number[]; // [6, 2]: right eye, left eye, nose, mouth, right ear, left ear
  score: number;
}

/** Landmarks, [478, 3]: column, row and depth in pixels, and the probability of a face. */
export interface Landmarks {
  points: Float64Array;
  confidence: number;
}

export const LANDMARKS = 478;

const DETECTOR_SIZE = 128;
const LANDMARK_SIZE = 256;
const MIN_SCORE = 0.5;
const MIN_OVERLAP = 0.3;
const SCORE_LIMIT = 100;
const STRIDES = [
  [8, 2],
  [16, 6],
] as const; // pixels between anchors, and anchors at each place
const BOX_VALUES = 16;
const SMALLEST_TILE = 192;
const MOST_TILES = 8;
const TILE_STEP = 2 / 3;
const ALMOST_SQUARE = 1.25;

/** Finds faces in an image, and landmarks in the region of a face. */
export class FaceNetworks {
  private readonly anchors = anchors();

  constructor(
    private readonly runtime: Runtime,
    private readonly detector: Session,
    private readonly landmarks: Session,
  ) {}

  /** The faces of an image as a whole, or of its tiles of one side; the best first. */
  async detect(picture: Picture, side?: number): Promise<Detection[]> {
    const { width, height } = picture;
    if (side === undefined) {
      return merge(await this.candidates(picture, { left: 0, top: 0, width, height }));
    }
    const detections: Detection[] = [];
    for (const top of tileStarts(height, side)) {
      for (const left of tileStarts(width, side)) {
        const tile = {
          left,
          top,
          width: Math.min(side, width - left),
          height: Math.min(side, height - top),
        };
        detections.push(...(await this.candidates(picture, tile)));
      }
    }
    return merge(detections);
  }

  /** The landmarks of the face in a region; without a face they mean nothing. */
  async read(picture: Picture, region: FaceRegion): Promise<Landmarks> {
    const crop = cropRegion(picture, region, LANDMARK_SIZE);
    const outputs = await this.run(this.landmarks, crop, LANDMARK_SIZE);
    const raw = outputs["landmarks"]!;
    const [a, b, c, d, e, f] = matrixOf(region, LANDMARK_SIZE) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const points = new Float64Array(3 * LANDMARKS);
    for (let i = 0; i < points.length; i += 3) {
      const x = raw[i]! - 0.5; // the network's coordinates start at the crop's edge
      const y = raw[i + 1]! - 0.5;
      points[i] = a * x + b * y + c;
      points[i + 1] = d * x + e * y + f;
      points[i + 2] = (raw[i + 2]! * region.side) / LANDMARK_SIZE;
    }
    return { points, confidence: 1 / (1 + Math.exp(-outputs["presence"]![0]!)) };
  }

  private async run(
    session: Session,
    values: Float32Array,
    size: number,
  ): Promise<Record<string, ArrayLike<number>>> {
    const tensor = new this.runtime.Tensor("float32", values, [1, size, size, 3]);
    const outputs = await session.run({ [session.inputNames[0]!]: tensor });
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
  }

  /** What the network reports above the score in a part of an image. */
  private async candidates(picture: Picture, part: Part): Promise<Detection[]> {
    const scale = Math.max(part.width, part.height) / DETECTOR_SIZE;
    const columns = Math.max(1, Math.round(part.width / scale));
    const rows = Math.max(1, Math.round(part.height / scale));
    const small = reduce(picture, part, columns, rows);
    const square = new Float32Array(3 * DETECTOR_SIZE ** 2).fill(-1);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        for (let channel = 0; channel < 3; channel++) {
          square[3 * (row * DETECTOR_SIZE + column) + channel] =
            small.data[4 * (row * columns + column) + channel]! / 127.5 - 1;
        }
      }
    }
    const outputs = await this.run(this.detector, square, DETECTOR_SIZE);
    const boxes = outputs["boxes"]!;
    const faces: Detection[] = [];
    this.anchors.forEach(([x, y], index) => {
      const logit = outputs["scores"]![index]!;
      const score = 1 / (1 + Math.exp(-Math.min(SCORE_LIMIT, Math.max(-SCORE_LIMIT, logit))));
      const raw = (i: number) => boxes[BOX_VALUES * index + i]!;
      if (score < MIN_SCORE || !(raw(2) > 1 && raw(3) > 1)) return;
      const [left, top] = [part.left - 0.5, part.top - 0.5];
      const place = (value: number, i: number) => value * scale + (i % 2 ? top : left);
      const box = [
        x + raw(0) - raw(2) / 2,
        y + raw(1) - raw(3) / 2,
        x + raw(0) + raw(2) / 2,
        y + raw(1) + raw(3) / 2,
      ].map(place);
      const keypoints = Array.from({ length: 12 }, (_, i) => raw(4 + i) + (i % 2 ? y : x));
      faces.push({ box, keypoints: keypoints.map(place), score });
    });
    return faces;
  }
}

/** The square in which to look for the landmarks of a detection. */
export function regionOfDetection({ box, keypoints }: Detection): FaceRegion {
  const [left, top, right, bottom] = box as [number, number, number, number];
  return {
    column: (left + right) / 2,
    row: (top + bottom) / 2,
    side: MARGIN * Math.max(right - left, bottom - top),
    angle: Math.atan2(keypoints[3]! - keypoints[1]!, keypoints[2]! - keypoints[0]!),
  };
}

/** The sides of the tiles in which to search an image, the largest first. */
export function tileSides(height: number, width: number): number[] {
  const longer = Math.max(height, width);
  let side = Math.min(height, width);
  if (longer < ALMOST_SQUARE * side) side = Math.floor(side / 2);
  const sides: number[] = [];
  for (; side >= Math.max(SMALLEST_TILE, longer / MOST_TILES); side = Math.floor(side / 2)) {
    sides.push(side);
  }
  return sides;
}

function tileStarts(length: number, side: number): number[] {
  const steps = Math.max(0, Math.ceil((length - side) / (side * TILE_STEP)));
  const last = Math.max(0, length - side);
  return Array.from({ length: steps + 1 }, (_, i) => Math.round(steps ? (last * i) / steps : 0));
}

/** The centres of the detector's anchors in pixels of its input. */
function anchors(): [number, number][] {
  return STRIDES.flatMap(([stride, count]) => {
    const places = DETECTOR_SIZE / stride;
    return Array.from({ length: places * places * count }, (_, i): [number, number] => {
      const place = Math.floor(i / count);
      return [((place % places) + 0.5) * stride, (Math.floor(place / places) + 0.5) * stride];
    });
  });
}

/** One detection for each face: means over those that overlap the best one, by score. */
function merge(candidates: Detection[]): Detection[] {
  let rest = [...candidates].sort((a, b) => b.score - a.score);
  const faces: Detection[] = [];
  while (rest.length) {
    const best = rest[0]!;
    const same = rest.filter((face) => face === best || overlap(best.box, face.box) > MIN_OVERLAP);
    const total = same.reduce((sum, { score }) => sum + score, 0);
    const mean = (values: (face: Detection) => number[]) =>
      values(best).map((_, i) =>
        same.reduce((sum, face) => sum + (face.score * values(face)[i]!) / total, 0),
      );
    faces.push({
      box: mean(({ box }) => box),
      keypoints: mean(({ keypoints }) => keypoints),
      score: best.score,
    });
    rest = rest.filter((face) => !same.includes(face));
  }
  return faces;
}

/** Intersection over union of two boxes. */
function overlap(a: number[], b: number[]): number {
  const width = Math.max(0, Math.min(a[2]!, b[2]!) - Math.max(a[0]!, b[0]!));
  const height = Math.max(0, Math.min(a[3]!, b[3]!) - Math.max(a[1]!, b[1]!));
  const area = (box: number[]) => (box[2]! - box[0]!) * (box[3]! - box[1]!);
  return (width * height) / Math.max(area(a) + area(b) - width * height, 1e-9);
}
