/** One face followed through a video, as `FaceTracker` of `imavatar_deploy/vision/tracker.py`. */

import {
  regionOfDetection,
  tileSides,
  type Detection,
  type FaceNetworks,
  type Landmarks,
} from "./face_networks";
import { regionOfLandmarks, type FaceRegion, type Picture } from "./picture";

const MIN_CONFIDENCE = 0.5; // below it, a face that was followed is lost
const MIN_FIRST_CONFIDENCE = 0.8; // of a face that a search finds
const MAX_DISAGREEMENT = 0.18; // of detector and landmarks, in widths of the detector's box
const KEYPOINT_LANDMARKS = [[468], [473], [1], [13, 14]] as const; // eyes, nose, mouth

/** Finds a face in an image and follows it through the images after it. */
export class FaceFollower {
  private region: FaceRegion | undefined;
  private failures = 0; // searches in vain since the last face

  constructor(private readonly networks: FaceNetworks) {}

  /** The face of the next image; undefined where there is none. */
  async track(picture: Picture): Promise<Landmarks | undefined> {
    let face = this.region && (await this.read(picture, this.region));
    if (!face) {
      face = await this.search(picture);
      this.failures = face ? 0 : this.failures + 1;
    }
    this.region = face && regionOfLandmarks(face.points);
    return face;
  }

  private async read(picture: Picture, region: FaceRegion): Promise<Landmarks | undefined> {
    const face = await this.networks.read(picture, region);
    return face.confidence < MIN_CONFIDENCE ? undefined : face;
  }

  /** The largest face of the whole image, or of the largest tiles that show one.
   *
   * After a search in vain, tiles of one size are searched, of another size in every image.
   */
  private async search(picture: Picture): Promise<Landmarks | undefined> {
    const sides = tileSides(picture.height, picture.width);
    const tiles =
      this.failures && sides.length ? [sides[this.failures % sides.length]!] : sides;
    for (const side of [undefined, ...tiles]) {
      let largest: Landmarks | undefined;
      for (const detection of await this.networks.detect(picture, side)) {
        const face = await this.confirm(picture, detection);
        if (face && (!largest || sizeOf(face) > sizeOf(largest))) largest = face;
      }
      if (largest) return largest;
    }
    return undefined;
  }

  /** The landmarks of a detection that the landmark network confirms. */
  private async confirm(picture: Picture, detection: Detection): Promise<Landmarks | undefined> {
    const rough = await this.read(picture, regionOfDetection(detection));
    if (!rough) return undefined;
    // Once more in the region in which the next image is read: the same crop every time.
    const face = await this.read(picture, regionOfLandmarks(rough.points));
    return face &&
      face.confidence >= MIN_FIRST_CONFIDENCE &&
      disagreement(detection, face.points) <= MAX_DISAGREEMENT
      ? face
      : undefined;
  }
}

function sizeOf(face: Landmarks): number {
  return regionOfLandmarks(face.points).side;
}

/** How far the detector's keypoints are from the landmarks, in widths of its box. */
function disagreement({ box, keypoints }: Detection, points: Float64Array): number {
  const distances = KEYPOINT_LANDMARKS.map((group, index) => {
    const mean = (axis: number) =>
      group.reduce((sum, landmark) => sum + points[3 * landmark + axis]!, 0) / group.length;
    return Math.hypot(keypoints[2 * index]! - mean(0), keypoints[2 * index + 1]! - mean(1));
  });
  const sum = distances.reduce((total, distance) => total + distance, 0);
  return sum / distances.length / (box[2]! - box[0]!);
}
