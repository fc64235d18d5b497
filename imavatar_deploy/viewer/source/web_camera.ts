/** The camera of the device, which moves the head: a module that is loaded when it is used.
 *
 * `tools/build_viewer.py` bundles it into `camera.js`, which is the program of the camera's worker,
 * too, and finds its networks and onnxruntime-web beside itself. The pictures stay in the browser:
 * nothing is sent.
 */

import { serve, type Answer } from "./camera_worker";
import { codeOf, NeutralFace, Smoothing, type Observation } from "./face_motion";

export { loadMotion } from "./camera_worker";

const WIDTH = 640;
const HEIGHT = 480;
const RATE = 30;
const TIMES_SHOWN = 15; // the time of an image is the median of so many

/** What the camera shows. */
export type CameraState = "face" | "empty" | "uncertain" | "calibrating";

/** An error whose message is a sentence for the user. */
export class CameraError extends Error {}

/** What receives expressions and poses. */
export interface PosedHead {
  setFlame(expression: ArrayLike<number>, pose: ArrayLike<number>): void;
}

/** Open the camera, and move a head by the face that it shows.
 *
 * @param head: of OpenHead.
 * @param signal: gives up opening it.
 * @param onState: called when the state changes.
 * @param onEnd: called when the camera ends by itself, with a sentence.
 * @throws CameraError: there is no camera, its use is refused, or files are absent.
 * @throws DOMException: the signal was given.
 */
export async function openCamera(
  head: PosedHead,
  signal: AbortSignal,
  onState: (state: CameraState) => void,
  onEnd: (sentence: string) => void,
): Promise<WebCamera> {
  const stream = await openStream();
  try {
    const worker = await openWorker(signal);
    return new WebCamera(head, stream, worker, onState, onEnd);
  } catch (error) {
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

/** The worker, ready for pictures.
 *
 * @throws CameraError: a file is absent or damaged, or the browser cannot run it.
 */
function openWorker(signal: AbortSignal): Promise<Worker> {
  signal.throwIfAborted();
  const worker = new Worker(import.meta.url, { type: "module" });
  return new Promise((done, fail) => {
    const refuse = (reason: unknown): void => {
      worker.terminate();
      fail(reason);
    };
    signal.addEventListener("abort", () => refuse(signal.reason), { once: true });
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data.kind === "error") refuse(new CameraError(data.sentence));
      else done(worker);
    };
    worker.onerror = ({ message }) =>
      refuse(new CameraError(`The camera cannot be used: ${message}`));
  });
}

/** A camera that moves a head until `stop`. */
export class WebCamera {
  /** Median milliseconds that a picture takes; 0 before there are enough. */
  milliseconds = 0;
  private readonly video = document.createElement("video");
  private readonly neutral = new NeutralFace();
  private readonly smoothing = new Smoothing();
  private times: number[] = [];
  private state: CameraState | undefined;
  private stopped = false;
  private shownTime = -1; // of the video

  constructor(
    private readonly head: PosedHead,
    private readonly stream: MediaStream,
    private readonly worker: Worker,
    private readonly onState: (state: CameraState) => void,
    private readonly onEnd: (sentence: string) => void,
  ) {
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
    this.worker.terminate();
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
      const sentence = `The camera cannot be followed: ${String(error)}`;
      this.end(error instanceof CameraError ? error.message : sentence);
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
    const { currentTime, videoWidth } = this.video;
    if (!videoWidth || currentTime === this.shownTime) return; // the same picture once more
    this.shownTime = currentTime;
    const start = performance.now();
    const observation = await this.observed(await createImageBitmap(this.video));
    if (this.stopped) return;
    this.note(performance.now() - start);
    const seconds = start / 1000;
    const face = observation.face && this.neutral.relative(observation.face, seconds);
    const { expression, pose } = codeOf(this.smoothing.step(face, seconds));
    this.head.setFlame(expression, pose);
    this.report(observation);
  }

  /** What the worker sees in a picture. */
  private observed(bitmap: ImageBitmap): Promise<Observation> {
    return new Promise((done, fail) => {
      this.worker.onmessage = ({ data }: MessageEvent<Answer>) => {
        if (data.kind === "picture") done(data.observation);
        else if (data.kind === "error") fail(new CameraError(data.sentence));
      };
      this.worker.onerror = (event) => fail(new CameraError(event.message));
      this.worker.postMessage(bitmap, [bitmap]);
    });
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

const isWorker = !globalThis.document && "importScripts" in globalThis;
if (isWorker) void serve(globalThis as never);
