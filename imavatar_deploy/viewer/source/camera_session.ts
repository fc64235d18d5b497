/** The camera of a head: loads the module of the camera when it is first used. */

import { AvatarError, type Model } from "./model";
import type { CameraState, PosedHead, WebCamera } from "./web_camera";

const HEAD_MODEL = "openhead"; // whose expressions the camera's motion has

/** State of a camera: what it shows, or that it is being opened or closed. */
export type CameraSessionState = CameraState | "starting" | "off";

type CameraModule = typeof import("./web_camera");

/** Opens and closes the camera; one at a time. */
export class CameraSession {
  state: CameraSessionState = "off";
  private camera: WebCamera | undefined;
  private opening: AbortController | undefined;

  constructor(
    private readonly head: PosedHead,
    private readonly onState: (state: CameraSessionState) => void,
    private readonly onError: (sentence: string) => void,
  ) {}

  /** Median milliseconds that a picture takes; 0 before there are enough. */
  get milliseconds(): number {
    return this.camera?.milliseconds ?? 0;
  }

  /** Open the camera.
   *
   * @param address: of `camera.js`; null where the page was exported without it.
   * @throws AvatarError: a sentence why it cannot be used.
   */
  async start(address: string | null, model: Model): Promise<void> {
    if (address === null)
      throw new AvatarError(
        "This page was exported without the camera. Export it again with --web-camera.",
      );
    if (model.headModel !== HEAD_MODEL)
      throw new AvatarError(
        `The camera moves avatars of the head model ${HEAD_MODEL}, and this one has ` +
          `${model.headModel}.`,
      );
    this.stop();
    const opening = new AbortController();
    this.opening = opening;
    this.change("starting");
    try {
      const camera = await this.opened(address, opening.signal);
      if (opening.signal.aborted) camera.stop();
      else this.camera = camera;
    } catch (error) {
      if (opening.signal.aborted) return; // it was closed meanwhile
      this.change("off");
      throw error;
    }
  }

  private async opened(address: string, signal: AbortSignal): Promise<WebCamera> {
    const module = await load(address);
    try {
      return await module.openCamera(
        this.head,
        signal,
        (state) => this.change(state),
        (sentence) => this.end(sentence),
      );
    } catch (error) {
      throw error instanceof module.CameraError ? new AvatarError(error.message) : error;
    }
  }

  /** Close the camera, or give up opening it. */
  stop(): void {
    this.opening?.abort();
    this.camera?.stop();
    this.camera = undefined;
    if (this.state !== "off") this.change("off");
  }

  /** Make the face of the next second the neutral one. */
  calibrate(): void {
    this.camera?.calibrate();
  }

  private end(sentence: string): void {
    this.stop();
    this.onError(sentence);
  }

  private change(state: CameraSessionState): void {
    this.state = state;
    this.onState(state);
  }
}

async function load(address: string): Promise<CameraModule> {
  try {
    return (await import(new URL(address, document.baseURI).href)) as CameraModule;
  } catch {
    throw new AvatarError(`The camera could not be loaded: ${address} is not there.`);
  }
}
