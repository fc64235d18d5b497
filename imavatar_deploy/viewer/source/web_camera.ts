/** The camera of the device, which moves the head: a module that is loaded when it is used.
 *
 * `tools/build_viewer.py` bundles it into `camera.js`, which finds its networks and onnxruntime-web
 * beside itself. The pictures stay in the browser: nothing is sent.
 */

import { FaceFollower } from "./face_follower";
import { codeOf, FaceMotion, NeutralFace, Smoothing, type Observation } from "./face_motion";
import { FaceNetworks, type Runtime } from "./face_networks";
import { readFitFile } from "./landmark_model";
import type { Picture } from "./picture";

const WIDTH = 640;
const HEIGHT = 480;
const RATE = 30;
const TIMES_SHOWN = 15; // the time of an image is the median of so many

/** What the camera shows. */
export type CameraState = "face" | "empty" | "uncertain" | "calibrating";

/** The networks, kept for the next time. */
let loaded: Promise<FaceMotion> | undefined;

/** An error whose message is a sentence for the user. */
export class CameraError extends Error {}

/** What receives expressions and poses. */
export interface PosedHead {
  setFlame(expression: ArrayLike<number>, pose: ArrayLike<number>): void;
}

/** Open the camera, and move a head by the face that it shows.
 *
 * @param head: of OpenHead.
 * @param onState: called when the state changes.
 * @param onEnd: called when the camera ends by itself, with a sentence.
 * @throws CameraError: there is no camera, its use is refused, or files are absent.
 */
export async function openCamera(
  head: PosedHead,
  onState: (state: CameraState) => void,
  onEnd: (sentence: string) => void,
): Promise<WebCamera> {
  const stream = await openStream();
  try {
    loaded ??= loadMotion();
    return new WebCamera(head, stream, await loaded, onState, onEnd);
  } catch (error) {
    loaded = undefined;
    for (const track of stream.getTracks()) track.stop();
    throw error;
  }
}

/** The stream of the camera in front. */
async function openStream(): Promise<MediaStream> {
  if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    throw new CameraError(
      "The browser lets a page use the camera only over https or from this computer (localhost).",
    );
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: {
        facingMode: "user",
        width: { ideal: WIDTH },
        height: { ideal: HEIGHT },
        frameRate: { ideal: RATE },
      },
    });
  } catch (error) {
    throw new CameraError(sentenceOf(error));
  }
}

function sentenceOf(error: unknown): string {
  const { name } = error as { name?: string };
  if (name === "NotAllowedError" || name === "SecurityError")
    return "The use of the camera is not allowed. Allow it in the browser's settings of this page.";
  if (name === "NotFoundError" || name === "OverconstrainedError")
    return "No camera was found. Connect one and try again.";
  if (name === "NotReadableError" || name === "AbortError")
    return "The camera cannot be read. Another program may be using it.";
  return `The camera cannot be opened: ${String(error)}`;
}

/** The networks and the fit, ready for pictures.
 *
 * @throws CameraError: a file is absent or damaged, or the browser cannot run it.
 */
export async function loadMotion(): Promise<FaceMotion> {
  const address = (name: string) => new URL(name, import.meta.url).href;
  try {
    const runtime = (await import(address("onnxruntime.js"))) as Runtime;
    runtime.env.wasm.numThreads = 1; // more need a page that is isolated from other origins
    runtime.env.wasm.wasmPaths = { wasm: address("onnxruntime.wasm") };
    const create = (name: string) =>
      runtime.InferenceSession.create(address(name), { executionProviders: ["wasm"] });
    const arrays = fetch(address("face_fit.bin")).then(async (response) => {
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      return readFitFile(await response.arrayBuffer());
    });
    // One after the other: the first one starts the runtime.
    const detector = await create("face_detector.onnx");
    const landmarks = await create("face_landmarks.onnx");
    const networks = new FaceNetworks(runtime, detector, landmarks);
    return new FaceMotion(new FaceFollower(networks), await arrays);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new CameraError(`The files of the camera could not be loaded: ${text}.`);
  }
}

/** A camera that moves a head until `stop`. */
export class WebCamera {
  /** Median milliseconds that a picture takes; 0 before there are enough. */
  milliseconds = 0;
  private readonly video = document.createElement("video");
  private readonly canvas = document.createElement("canvas");
  private readonly context: CanvasRenderingContext2D;
  private readonly neutral = new NeutralFace();
  private readonly smoothing = new Smoothing();
  private times: number[] = [];
  private state: CameraState | undefined;
  private stopped = false;

  constructor(
    private readonly head: PosedHead,
    private readonly stream: MediaStream,
    private readonly motion: FaceMotion,
    private readonly onState: (state: CameraState) => void,
    private readonly onEnd: (sentence: string) => void,
  ) {
    this.context = this.canvas.getContext("2d", { willReadFrequently: true })!;
    Object.assign(this.video, { srcObject: stream, muted: true, playsInline: true });
    for (const track of stream.getTracks()) {
      track.addEventListener("ended", () => this.end("The camera was disconnected."));
    }
    void this.follow();
  }

  /** Make the face of the next second the neutral one. */
  calibrate(): void {
    this.neutral.calibrate();
  }

  /** Close the camera; the head keeps its face. */
  stop(): void {
    this.stopped = true;
    for (const track of this.stream.getTracks()) track.stop();
    this.video.srcObject = null;
  }

  private end(sentence: string): void {
    if (this.stopped) return;
    this.stop();
    this.onEnd(sentence);
  }

  private async follow(): Promise<void> {
    try {
      await this.video.play();
      while (!this.stopped) {
        await this.nextPicture();
        if (!this.stopped) await this.show();
      }
    } catch (error) {
      this.end(`The camera cannot be followed: ${String(error)}`);
    }
  }

  private nextPicture(): Promise<void> {
    return new Promise((done) => {
      if ("requestVideoFrameCallback" in this.video)
        this.video.requestVideoFrameCallback(() => done());
      else requestAnimationFrame(() => done());
    });
  }

  private async show(): Promise<void> {
    const picture = this.picture();
    if (!picture) return;
    const start = performance.now();
    const observation = await this.motion.observe(picture);
    if (this.stopped) return;
    this.note(performance.now() - start);
    const seconds = start / 1000;
    const face = observation.face && this.neutral.relative(observation.face, seconds);
    const { expression, pose } = codeOf(this.smoothing.step(face, seconds));
    this.head.setFlame(expression, pose);
    this.report(observation);
  }

  private picture(): Picture | undefined {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width || !height) return undefined;
    if (this.canvas.width !== width || this.canvas.height !== height)
      Object.assign(this.canvas, { width, height });
    this.context.drawImage(this.video, 0, 0);
    return this.context.getImageData(0, 0, width, height);
  }

  private note(milliseconds: number): void {
    this.times.push(milliseconds);
    if (this.times.length < TIMES_SHOWN) return;
    this.milliseconds = this.times.sort((a, b) => a - b)[TIMES_SHOWN >> 1]!;
    this.times = [];
  }

  private report({ state }: Observation): void {
    const shown = state === "face" && this.neutral.isCalibrating ? "calibrating" : state;
    if (shown === this.state) return;
    this.state = shown;
    this.onState(shown);
  }
}
