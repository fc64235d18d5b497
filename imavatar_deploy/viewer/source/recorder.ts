/** Pictures and videos of a canvas. */

import { AvatarError } from "./model";

const VIDEO_TYPES = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

/** A PNG of what the canvas shows; to be called in the task that has drawn it. */
export function pictureOf(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((done, fail) => {
    canvas.toBlob((blob) => {
      if (blob) done(blob);
      else fail(new AvatarError("The picture could not be saved: the browser made no PNG of it."));
    }, "image/png");
  });
}

/** Record a canvas for a time in seconds, or until `signal` ends it; its size must not change.
 *
 * @throws AvatarError: the browser records no video of a canvas, or the recording fails.
 */
export function videoOf(
  canvas: HTMLCanvasElement,
  seconds: number,
  signal?: AbortSignal,
): Promise<Blob> {
  const type =
    typeof MediaRecorder === "function"
      ? VIDEO_TYPES.find((each) => MediaRecorder.isTypeSupported(each))
      : undefined;
  if (type === undefined || typeof canvas.captureStream !== "function")
    throw new AvatarError("This browser records no video of a page. Use a newer one.");
  const stream = canvas.captureStream();
  const recorder = new MediaRecorder(stream, { mimeType: type });
  const parts: Blob[] = [];
  return new Promise<Blob>((done, fail) => {
    const stop = (): void => {
      if (recorder.state !== "inactive") recorder.stop();
    };
    const timer = setTimeout(stop, 1000 * seconds);
    signal?.addEventListener("abort", stop, { once: true });
    recorder.addEventListener("dataavailable", ({ data }) => {
      if (data.size) parts.push(data);
    });
    recorder.addEventListener("error", () => {
      fail(new AvatarError("The video could not be recorded: the browser's encoder failed."));
      stop();
    });
    recorder.addEventListener("stop", () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      stream.getTracks().forEach((track) => track.stop());
      if (parts.length) done(new Blob(parts, { type }));
      else fail(new AvatarError("The video could not be recorded: it has no frame."));
    });
    recorder.start();
    if (signal?.aborted) stop();
  });
}
