/** The avatar file: header, decompression, and decoding of its arrays.
 *
 * `imavatar_deploy/viewer/avatar_file.py` writes it and describes its layout.
 */

const MAGIC = "IMAV";
const VERSION = 1;
const PREFIX_BYTES = 12;
const MAX_VERTICES = 1 << 20;
const MAX_PAYLOAD = 1 << 29;
const FEATURE_SIZE = 36;
const BONES = 5;
const CONDITION_SIZE = 53;

/** An error whose message is a sentence for the user. */
export class AvatarError extends Error {}

/** Weights of the student, [inputs, outputs] row by row. */
export interface Student {
  width: number;
  features: Float32Array; // [V, H]
  normalWeight: Float32Array; // [3, H]
  conditionWeight: Float32Array; // [53, H]
  conditionBias: Float32Array; // [H]
  hiddenWeight: Float32Array; // [H, H]
  hiddenBias: Float32Array; // [H]
  colourWeight: Float32Array; // [H, 3]
  colourBias: Float32Array; // [3]
}

/** A decoded avatar, in model units (FLAME x 4). */
export interface Model {
  headModel: string;
  expressionNames: string[];
  vertexCount: number;
  boneCount: number;
  faces: Uint32Array; // [F, 3]
  rest: Float32Array; // [V, 3]
  normalDetail: Float32Array; // [V, 3]
  skinWeights: Float32Array; // [V, J]
  basis: Float32Array; // [E + 36, V, 3]: expressions, then pose correctives
  jointsRest: Float32Array; // [5, 3]
  jointBasis: Float32Array; // [E, 5, 3]
  student: Student;
  camera: { worldToCamera: number[]; intrinsics: number[] };
}

interface ArrayEntry {
  name: string;
  coding: "faces" | "predicted" | "float32";
  channels: number;
  planes: number;
  step: number;
}

interface Header {
  head_model: string;
  expression_names: string[];
  vertices: number;
  faces: number;
  bones: number;
  width: number;
  payload_bytes: number;
  arrays: ArrayEntry[];
  camera: { world_to_camera: number[]; intrinsics: number[] };
}

/** Fetch and decode an avatar file.
 *
 * @throws AvatarError: it cannot be loaded, or is not an avatar file of this version.
 */
export async function loadModel(url: string, signal?: AbortSignal): Promise<Model> {
  let response: Response;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new AvatarError(
      "The avatar could not be loaded. Check the connection and load the page again.",
    );
  }
  if (!response.ok) {
    throw new AvatarError(
      `The avatar could not be loaded: the server answered ${response.status} for ${url}.`,
    );
  }
  return decodeModel(new Uint8Array(await response.arrayBuffer()));
}

/** Decode the bytes of an avatar file. */
export async function decodeModel(bytes: Uint8Array): Promise<Model> {
  const header = readHeader(bytes);
  const start = PREFIX_BYTES + view(bytes).getUint32(8, true);
  const payload = await decompress(bytes.subarray(start), header.payload_bytes);
  try {
    return decodePayload(header, payload);
  } catch (error) {
    if (error instanceof AvatarError) throw error;
    throw damaged();
  }
}

function damaged(): AvatarError {
  return new AvatarError(
    "The avatar file is damaged or incomplete. Copy it again, or export the avatar again.",
  );
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function readHeader(bytes: Uint8Array): Header {
  const magic = String.fromCharCode(...bytes.subarray(0, 4));
  if (bytes.length < PREFIX_BYTES || magic !== MAGIC) {
    throw new AvatarError("This is not an avatar file of imavatar-export --format web.");
  }
  const version = view(bytes).getUint32(4, true);
  if (version !== VERSION) {
    throw new AvatarError(
      `The avatar file has version ${version}, and this page reads version ${VERSION}. ` +
        "Export the avatar again.",
    );
  }
  const length = view(bytes).getUint32(8, true);
  if (PREFIX_BYTES + length > bytes.length) throw damaged();
  let header: Header;
  try {
    header = JSON.parse(
      new TextDecoder().decode(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length)),
    ) as Header;
  } catch {
    throw damaged();
  }
  if (!isSound(header)) throw damaged();
  return header;
}

/** Whether sizes and lists of a header have valid types and plausible values. */
function isSound(header: Header): boolean {
  const isCount = (value: unknown, limit: number) =>
    Number.isInteger(value) && (value as number) > 0 && (value as number) <= limit;
  const areNumbers = (values: unknown, count: number) =>
    Array.isArray(values) && values.length === count && values.every(Number.isFinite);
  return (
    typeof header === "object" &&
    header !== null &&
    typeof header.head_model === "string" &&
    isCount(header.vertices, MAX_VERTICES) &&
    isCount(header.faces, 2 * MAX_VERTICES) &&
    (header.bones === BONES || header.bones === BONES + 1) &&
    (header.width === 16 || header.width === 32) &&
    isCount(header.payload_bytes, MAX_PAYLOAD) &&
    Array.isArray(header.expression_names) &&
    header.expression_names.length + 3 === CONDITION_SIZE &&
    header.expression_names.every((name) => typeof name === "string") &&
    Array.isArray(header.arrays) &&
    areNumbers(header.camera?.world_to_camera, 12) &&
    areNumbers(header.camera?.intrinsics, 4)
  );
}

/** Decompress a gzip stream that must hold `size` bytes; a longer one is not read to its end. */
async function decompress(bytes: Uint8Array, size: number): Promise<Uint8Array> {
  const stream = new Blob([bytes as BlobPart])
    .stream()
    .pipeThrough(new DecompressionStream("gzip"));
  const payload = new Uint8Array(size);
  const reader = stream.getReader();
  let filled = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (filled + value.length > size) throw damaged();
      payload.set(value, filled);
      filled += value.length;
    }
  } catch {
    void reader.cancel().catch(() => undefined);
    throw damaged();
  }
  if (filled !== size) throw damaged();
  return payload;
}

/** Channels that an array must have, by name. */
function channelsOf(header: Header): Record<string, number> {
  const expressions = header.expression_names.length;
  const width = header.width;
  return {
    faces: 3,
    rest: 3,
    expression_basis: 3 * expressions,
    pose_basis: 3 * FEATURE_SIZE,
    normal_detail: 3,
    skin_weights: header.bones - 1,
    features: width,
    joints_rest: 3 * BONES,
    joint_basis: 3 * BONES * expressions,
    normal_weight: 3 * width,
    condition_weight: CONDITION_SIZE * width,
    condition_bias: width,
    hidden_weight: width * width,
    hidden_bias: width,
    colour_weight: 3 * width,
    colour_bias: 3,
  };
}

function decodePayload(header: Header, payload: Uint8Array): Model {
  const count = header.vertices;
  const channels = channelsOf(header);
  const decoded = new Map<string, Float32Array>();
  let faces: Uint32Array = new Uint32Array(0);
  let neighbours: Neighbours | undefined;
  let offset = 0;
  for (const entry of header.arrays) {
    if (entry.channels !== channels[entry.name]) throw damaged();
    if (entry.coding === "float32") {
      const bytes = payload.slice(offset, offset + 4 * entry.channels);
      const values = new Float32Array(bytes.buffer, 0, entry.channels);
      if (!values.every(Number.isFinite)) throw damaged();
      decoded.set(entry.name, values);
      offset += 4 * entry.channels;
      continue;
    }
    const perChannel = entry.coding === "faces" ? header.faces : count;
    const size = entry.channels * perChannel;
    if (![1, 2, 3, 4].includes(entry.planes) || offset + size * entry.planes > payload.length)
      throw damaged();
    const codes = readPlanes(payload, offset, size, entry.planes);
    offset += size * entry.planes;
    if (entry.coding === "faces") {
      faces = decodeFaces(codes, count);
      neighbours = earlierNeighbours(faces, count);
    } else if (neighbours && Number.isFinite(entry.step)) {
      decoded.set(entry.name, decodePredicted(codes, entry, count, neighbours));
    } else {
      throw damaged();
    }
  }
  if (offset !== payload.length || decoded.size + 1 !== Object.keys(channels).length)
    throw damaged();
  return assemble(header, faces, decoded);
}

/** Integers from their byte planes: all lowest bytes first. */
function readPlanes(
  payload: Uint8Array,
  offset: number,
  size: number,
  planes: number,
): Uint32Array {
  const codes = new Uint32Array(size);
  for (let plane = 0; plane < planes; plane++) {
    const start = offset + plane * size;
    for (let i = 0; i < size; i++) codes[i]! |= payload[start + i]! << (8 * plane);
  }
  return codes;
}

/** Vertex indices from their distances to the number of vertices seen so far. */
function decodeFaces(codes: Uint32Array, vertices: number): Uint32Array {
  const faces = new Uint32Array(codes.length);
  let next = 0;
  for (let i = 0; i < codes.length; i++) {
    const index = next - codes[i]!;
    if (index < 0 || index >= vertices) throw damaged();
    faces[i] = index;
    if (index === next) next++;
  }
  if (next !== vertices) throw damaged();
  return faces;
}

interface Neighbours {
  first: Uint32Array; // [V + 1]
  index: Uint32Array;
}

/** The neighbours of every vertex that come before it; each once. */
function earlierNeighbours(faces: Uint32Array, vertices: number): Neighbours {
  const lists: number[][] = Array.from({ length: vertices }, () => []);
  for (let i = 0; i < faces.length; i += 3) {
    for (let edge = 0; edge < 3; edge++) {
      const a = faces[i + edge]!;
      const b = faces[i + ((edge + 1) % 3)]!;
      const later = Math.max(a, b);
      const earlier = Math.min(a, b);
      const list = lists[later]!;
      if (later !== earlier && !list.includes(earlier)) list.push(earlier);
    }
  }
  const first = new Uint32Array(vertices + 1);
  lists.forEach((list, vertex) => (first[vertex + 1] = first[vertex]! + list.length));
  return { first, index: Uint32Array.from(lists.flat()) };
}

/** Values from differences to the mean of the earlier neighbours, [channels, V].
 *
 * All arithmetic before the multiplication by the step is on integers, and so exact.
 */
function decodePredicted(
  codes: Uint32Array,
  entry: ArrayEntry,
  count: number,
  neighbours: Neighbours,
): Float32Array {
  const { first, index } = neighbours;
  const values = new Float32Array(codes.length);
  const whole = new Int32Array(count);
  for (let channel = 0; channel < entry.channels; channel++) {
    const start = channel * count;
    for (let vertex = 0; vertex < count; vertex++) {
      const from = first[vertex]!;
      const to = first[vertex + 1]!;
      let prediction = 0;
      if (to > from) {
        let sum = 0;
        for (let i = from; i < to; i++) sum += whole[index[i]!]!;
        prediction = Math.floor((2 * sum + to - from) / (2 * (to - from)));
      } else if (vertex) {
        prediction = whole[vertex - 1]!;
      }
      const code = codes[start + vertex]!;
      whole[vertex] = prediction + (code & 1 ? -(code + 1) / 2 : code / 2);
      values[start + vertex] = whole[vertex]! * entry.step;
    }
  }
  return values;
}

/** Arrange the decoded arrays vertex by vertex. */
function assemble(header: Header, faces: Uint32Array, decoded: Map<string, Float32Array>): Model {
  const count = header.vertices;
  const array = (name: string): Float32Array => {
    const values = decoded.get(name);
    if (!values) throw damaged();
    return values;
  };
  const expressions = header.expression_names.length;
  const basis = new Float32Array((expressions + FEATURE_SIZE) * 3 * count);
  interleave(array("expression_basis"), basis, 0, 3, count);
  interleave(array("pose_basis"), basis, expressions * 3 * count, 3, count);
  const perVertex = (name: string, channels: number): Float32Array => {
    const out = new Float32Array(channels * count);
    interleave(array(name), out, 0, channels, count);
    return out;
  };
  return {
    headModel: header.head_model,
    expressionNames: header.expression_names,
    vertexCount: count,
    boneCount: header.bones,
    faces,
    rest: perVertex("rest", 3),
    normalDetail: perVertex("normal_detail", 3),
    skinWeights: withFirstWeight(array("skin_weights"), header.bones, count),
    basis,
    jointsRest: array("joints_rest"),
    jointBasis: array("joint_basis"),
    student: {
      width: header.width,
      features: perVertex("features", header.width),
      normalWeight: array("normal_weight"),
      conditionWeight: array("condition_weight"),
      conditionBias: array("condition_bias"),
      hiddenWeight: array("hidden_weight"),
      hiddenBias: array("hidden_bias"),
      colourWeight: array("colour_weight"),
      colourBias: array("colour_bias"),
    },
    camera: { worldToCamera: header.camera.world_to_camera, intrinsics: header.camera.intrinsics },
  };
}

/** Turn rows [K, channels, V] into [K, V, channels], written to `out` from `offset` on. */
function interleave(
  rows: Float32Array,
  out: Float32Array,
  offset: number,
  channels: number,
  count: number,
): void {
  const groups = rows.length / (channels * count);
  for (let group = 0; group < groups; group++) {
    const base = group * channels * count;
    for (let channel = 0; channel < channels; channel++) {
      const row = base + channel * count;
      for (let vertex = 0, to = offset + base + channel; vertex < count; vertex++, to += channels) {
        out[to] = rows[row + vertex]!;
      }
    }
  }
}

/** All weights of every vertex, [V, J]: that of the first bone is what the others leave. */
function withFirstWeight(rows: Float32Array, bones: number, count: number): Float32Array {
  const weights = new Float32Array(bones * count);
  for (let vertex = 0; vertex < count; vertex++) {
    let rest = 1;
    for (let bone = 1; bone < bones; bone++) {
      const weight = rows[(bone - 1) * count + vertex]!;
      weights[vertex * bones + bone] = weight;
      rest -= weight;
    }
    weights[vertex * bones] = rest;
  }
  return weights;
}
