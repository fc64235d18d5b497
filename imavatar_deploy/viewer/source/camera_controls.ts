/** The page's buttons of the camera, in a page that was exported with it. */

import type { CameraSessionState } from "./camera_session";
import type { ImavatarHead } from "./element";
import { AvatarError } from "./model";

const SENTENCES: Readonly<Record<CameraSessionState, string>> = {
  off: "The picture stays in this browser.",
  starting: "The camera is being opened. The picture stays in this browser.",
  face: "The camera moves the head. The picture stays in this browser.",
  calibrating: "Look into the camera with a neutral face.",
  empty: "The camera shows no face.",
  uncertain: "The face is covered, or turned too far.",
};

/** Buttons that open and close the camera, and set the neutral face. */
export class CameraControls {
  private readonly status: HTMLElement;
  private readonly button: HTMLButtonElement;
  private readonly neutral: HTMLButtonElement;

  constructor(
    private readonly head: ImavatarHead,
    panel: HTMLElement,
    private readonly onStop: () => void,
  ) {
    const find = <T extends HTMLElement>(name: string): T =>
      panel.querySelector<T>(`[data-${name}]`)!;
    this.status = find("camera-status");
    this.button = find("camera");
    this.neutral = find("neutral");
    this.button.addEventListener("click", () => void this.toggle());
    this.neutral.addEventListener("click", () => head.calibrateCamera());
    head.addEventListener("camerastate", () => this.show());
    head.addEventListener("error", (event: Event) => {
      if (!head.live) this.status.textContent = (event as CustomEvent<string>).detail;
    });
    find("camera-controls").hidden = !head.hasAttribute("camera");
    this.show();
  }

  private async toggle(): Promise<void> {
    if (this.head.cameraState.state !== "off") {
      this.head.stopCamera();
      return;
    }
    try {
      await this.head.startCamera();
    } catch (error) {
      const sentence = `The camera cannot be used: ${String(error)}`;
      this.status.textContent = error instanceof AvatarError ? error.message : sentence;
    }
  }

  private show(): void {
    const { state } = this.head.cameraState;
    const isOff = state === "off";
    this.button.textContent = isOff ? "Use camera" : "Stop camera";
    this.neutral.disabled = isOff || state === "starting";
    this.status.textContent = SENTENCES[state];
    if (isOff) this.onStop();
  }
}
