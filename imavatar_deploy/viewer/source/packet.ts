/** FLAME packets: the decoder of `docs/flame-stream.md`, which has test vectors for it. */

import { AvatarError } from "./model";

const MAGIC = 0x534d4c46; // "FLMS", little-endian
const VERSION = 1;
const HEADER_BYTES = 32;
const CHECKSUM_BYTES = 4;
const MAX_BYTES = 1200;
const MAX_WEIGHTS = 100;
const ARKIT_WEIGHTS = 52;
const POSE_VALUES = 15;
const ARKIT = "arkit52";

/** Names of the editions by their code. */
const EDITIONS: Readonly<Record<number, string>> = {
  1: "flame2017",
  2: "flame2019",
  3: "flame2020",
  4: "flame2023",
  5: "openhead",
  6: "flame2023-no-jaw",
  7: "flame2023-open",
  32: ARKIT,
};

/** The contents of one packet; without a face, weights and pose are empty. */
export interface Packet {
  edition: string;
  weights: Float32Array;
  pose: Float32Array;
  time: number; // seconds on the sender's own clock
  sequence: number;
}

/** Read one packet.
 *
 * @throws AvatarError: a packet that receivers must refuse.
 */
export function decodePacket(bytes: Uint8Array): Packet {
  if (bytes.length < HEADER_BYTES + CHECKSUM_BYTES || bytes.length > MAX_BYTES)
    throw new AvatarError(`A packet has 36 to ${MAX_BYTES} bytes, this one ${bytes.length}.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== MAGIC) throw new AvatarError("A packet begins with FLMS.");
  const version = view.getUint8(4);
  if (version !== VERSION)
    throw new AvatarError(`The packet has version ${version}, this page reads ${VERSION}.`);
  const flags = view.getUint8(5);
  const edition = EDITIONS[view.getUint8(6)];
  if (flags > 1 || edition === undefined || bytes.subarray(9, 12).some((byte) => byte !== 0))
    throw new AvatarError("The packet is of an unknown kind.");
  const weightCount = view.getUint8(7);
  const poseCount = view.getUint8(8);
  if (!fits(edition, weightCount, poseCount))
    throw new AvatarError(`A packet of ${edition} cannot have ${weightCount} weights.`);
  const size = flags ? 2 : 4;
  const end = HEADER_BYTES + size * (weightCount + poseCount);
  if (bytes.length !== end + CHECKSUM_BYTES)
    throw new AvatarError(`The packet must have ${end + CHECKSUM_BYTES} bytes.`);
  if (view.getUint32(end, true) !== crc32(bytes.subarray(0, end)))
    throw new AvatarError("The packet is damaged: its checksum does not fit.");
  const read = (offset: number, count: number, scale: number) =>
    Float32Array.from({ length: count }, (_, i) => {
      const at = offset + size * i;
      return Math.fround((flags ? view.getInt16(at, true) : view.getFloat32(at, true)) * scale);
    });
  const weights = read(HEADER_BYTES, weightCount, view.getFloat32(24, true));
  const pose = read(HEADER_BYTES + size * weightCount, poseCount, view.getFloat32(28, true));
  const time = view.getFloat64(16, true);
  if (!Number.isFinite(time) || !weights.every(Number.isFinite) || !pose.every(Number.isFinite))
    throw new AvatarError("The packet holds numbers that are not finite.");
  return { edition, weights, pose, time, sequence: view.getUint32(12, true) };
}

/** Whether an edition has so many weights and pose values; zero of both is no face. */
function fits(edition: string, weights: number, pose: number): boolean {
  if (!weights && !pose) return true;
  const known =
    edition === ARKIT ? weights === ARKIT_WEIGHTS : weights >= 1 && weights <= MAX_WEIGHTS;
  return known && pose === POSE_VALUES;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** The CRC-32 of zip and PNG. */
function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 255]! ^ (value >>> 8);
  return ~value >>> 0;
}
