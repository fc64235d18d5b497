/** The viewer: defines `<imavatar-head>`, and fills the page's controls where there are any. */

import { ImavatarHead } from "./element";
import { buildInterface } from "./interface";

export type { CameraSessionState } from "./camera_session";
export { CameraBuffer, decodeCamera, type View } from "./cameras";
export { ImavatarHead, type HeadEvent } from "./element";
export { faceOf, JitterBuffer, poseOf } from "./jitter";
export type { LiveCounts } from "./live";
export { AvatarError, decodeModel, loadModel, type Model, type Student } from "./model";
export { decodePacket, type Packet } from "./packet";
export { presetsOf, type Preset } from "./presets";
export type { ImageMatrix } from "./renderer";
export { duration, parseTrack, sample, type Track } from "./track";

if (globalThis.customElements && !customElements.get("imavatar-head")) {
  customElements.define("imavatar-head", ImavatarHead);
  const head = document.querySelector<ImavatarHead>("imavatar-head[data-controls]");
  if (head) buildInterface(head, document.querySelector<HTMLElement>(head.dataset["controls"]!)!);
}
