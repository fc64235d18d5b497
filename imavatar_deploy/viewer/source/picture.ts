/** Pixels of a camera for the networks: crops of rotated squares, and reduced images.
 *
 * The rules are those of `imavatar_deploy/vision/images.py` and `region.py`. Pixel centres are at
 * integers: an image of W columns reaches from -0.5 to W - 0.5.
 */

/** RGBA pixels, row by row, as a canvas gives them. */
export interface Picture {
  readonly data: ArrayLike<number>;
  readonly width: number;
  readonly height: number;
}

/** A rotated square around a face. */
export interface FaceRegion {
  readonly column: number; // of its centre
  readonly row: number;
  readonly side: number; // pixels
  readonly angle: number; // roll in radians: positive where the left eye is lower
}

const EYE_CORNERS = [33, 263] as const;
export const MARGIN = 1.5; // side of a region divided by the size of the face

/** The region in which to look for a face whose landmarks, [L, 3], are known. */
export function regionOfLandmarks(landmarks: ArrayLike<number>): FaceRegion {
  const [right, left] = EYE_CORNERS;
  const angle = Math.atan2(
    landmarks[3 * left + 1]! - landmarks[3 * right + 1]!,
    landmarks[3 * left]! - landmarks[3 * right]!,
  );
  const cosine = Math.cos(angle);
  const sine = Math.sin(angle);
  const low = [Infinity, Infinity] as [number, number];
  const high = [-Infinity, -Infinity] as [number, number];
  for (let i = 0; i < landmarks.length; i += 3) {
    const [x, y] = [landmarks[i]!, landmarks[i + 1]!];
    const turned = [x * cosine + y * sine, y * cosine - x * sine] as const;
    for (const axis of [0, 1] as const) {
      low[axis] = Math.min(low[axis], turned[axis]);
      high[axis] = Math.max(high[axis], turned[axis]);
    }
  }
  const across = (low[0] + high[0]) / 2;
  const down = (low[1] + high[1]) / 2;
  return {
    column: across * cosine - down * sine,
    row: across * sine + down * cosine,
    side: MARGIN * Math.max(high[0] - low[0], high[1] - low[1]),
    angle,
  };
}

/** The map from pixels of a crop of `size` pixels to pixels of the image: rows of [2, 3]. */
export function matrixOf(region: FaceRegion, size: number): number[] {
  const scale = region.side / size;
  const cosine = scale * Math.cos(region.angle);
  const sine = scale * Math.sin(region.angle);
  const middle = (size - 1) / 2;
  return [
    cosine,
    -sine,
    region.column - middle * (cosine - sine),
    sine,
    cosine,
    region.row - middle * (sine + cosine),
  ];
}

/** The pixels of a region, upright, as RGB in 0..1, [size, size, 3]; black outside the image.
 *
 * Where the region is at least twice as wide, whole blocks of pixels are averaged first.
 */
export function cropRegion(picture: Picture, region: FaceRegion, size: number): Float32Array {
  const factor = Math.floor(region.side / size);
  const matrix = matrixOf(region, size);
  if (factor < 2) return warp(picture, matrix, size);
  const half =
    (region.side / 2) * (Math.abs(Math.cos(region.angle)) + Math.abs(Math.sin(region.angle)));
  const low = (centre: number) => Math.max(0, Math.floor(centre - half) - factor);
  const high = (centre: number) => Math.ceil(centre + half) + factor + 1;
  const left = low(region.column);
  const top = low(region.row);
  const columns = Math.floor((Math.min(picture.width, high(region.column)) - left) / factor);
  const rows = Math.floor((Math.min(picture.height, high(region.row)) - top) / factor);
  if (columns < 1 || rows < 1) return new Float32Array(3 * size * size);
  const part = { left, top, width: columns * factor, height: rows * factor };
  const small = reduce(picture, part, columns, rows);
  // Pixel x of the image lies at (x - left + 1/2) / factor - 1/2 in the reduced part.
  const adapted = matrix.map((value) => value / factor);
  adapted[2]! += (0.5 - left) / factor - 0.5;
  adapted[5]! += (0.5 - top) / factor - 0.5;
  return warp(small, adapted, size);
}

/** Sample an image at the places of a matrix, by linear interpolation. */
function warp({ data, width, height }: Picture, matrix: number[], size: number): Float32Array {
  const [a, b, c, d, e, f] = matrix as [number, number, number, number, number, number];
  const out = new Float32Array(3 * size * size);
  for (let row = 0, to = 0; row < size; row++) {
    for (let column = 0; column < size; column++, to += 3) {
      const x = a * column + b * row + c;
      const y = d * column + e * row + f;
      const left = Math.floor(x);
      const top = Math.floor(y);
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      const right = x - left;
      const lower = y - top;
      for (let corner = 0; corner < 4; corner++) {
        const i = left + (corner & 1);
        const j = top + (corner >> 1);
        if (i < 0 || j < 0 || i >= width || j >= height) continue;
        const weight = (corner & 1 ? right : 1 - right) * (corner >> 1 ? lower : 1 - lower);
        const from = 4 * (j * width + i);
        out[to]! += weight * data[from]!;
        out[to + 1]! += weight * data[from + 1]!;
        out[to + 2]! += weight * data[from + 2]!;
      }
      for (let channel = 0; channel < 3; channel++) {
        out[to + channel] = Math.round(out[to + channel]!) / 255;
      }
    }
  }
  return out;
}

/** A part of an image. */
export interface Part {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A part of an image with another size: averaged where it shrinks, else interpolated. */
export function reduce(picture: Picture, part: Part, columns: number, rows: number): Picture {
  const shrinks = part.width >= columns && part.height >= rows;
  const across = taps(part.width, columns, shrinks);
  const down = taps(part.height, rows, shrinks);
  const { data, width } = picture;
  // Columns first, row by row of the part; then rows.
  const narrow = new Float32Array(3 * part.height * columns);
  for (let row = 0; row < part.height; row++) {
    const start = 4 * ((part.top + row) * width + part.left);
    across.forEach(({ first, weights }, column) => {
      const to = 3 * (row * columns + column);
      weights.forEach((weight, i) => {
        const from = start + 4 * (first + i);
        narrow[to]! += weight * data[from]!;
        narrow[to + 1]! += weight * data[from + 1]!;
        narrow[to + 2]! += weight * data[from + 2]!;
      });
    });
  }
  const out = new Uint8ClampedArray(4 * columns * rows);
  down.forEach(({ first, weights }, row) => {
    for (let column = 0; column < columns; column++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        weights.forEach((weight, i) => {
          sum += weight * narrow[3 * ((first + i) * columns + column) + channel]!;
        });
        out[4 * (row * columns + column) + channel] = sum;
      }
    }
  });
  return { data: out, width: columns, height: rows };
}

/** For every pixel of the result, the first pixel of the source and the weights from there on. */
function taps(source: number, result: number, shrinks: boolean): Tap[] {
  const scale = source / result;
  return Array.from({ length: result }, (_, index) => {
    if (shrinks) {
      const low = index * scale;
      const high = low + scale;
      const first = Math.floor(low + 1e-6);
      const weights: number[] = [];
      for (let pixel = first; pixel < Math.min(source, high - 1e-6); pixel++)
        weights.push((Math.min(pixel + 1, high) - Math.max(pixel, low)) / scale);
      return { first, weights };
    }
    const place = Math.min(source - 1, Math.max(0, (index + 0.5) * scale - 0.5));
    const first = Math.min(Math.floor(place), Math.max(0, source - 2));
    const share = place - first;
    return { first, weights: source > 1 ? [1 - share, share] : [1] };
  });
}

interface Tap {
  readonly first: number;
  readonly weights: readonly number[];
}
