/** The worker of the camera: it finds the face in pictures, so that the page is not held up. */

import { FaceFollower } from "./face_follower";
import { FaceMotion, type Observation } from "./face_motion";
import { FaceNetworks, type Runtime } from "./face_networks";
import { readFitFile } from "./landmark_model";

/** What the worker answers: it is ready, or cannot be; then what each picture shows. */
export type Answer =
  | { kind: "ready" }
  | { kind: "error"; sentence: string }
  | { kind: "picture"; observation: Observation };

/** What is used of a worker's global scope. */
interface WorkerScope {
  postMessage(answer: Answer): void;
  onmessage: ((event: MessageEvent<ImageBitmap>) => void) | null;
}

/** The networks and the fit, ready for pictures.
 *
 * @throws Error: a sentence: a file is absent or damaged, or the browser cannot run it.
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
    throw new Error(`The files of the camera could not be loaded: ${text}.`);
  }
}

/** Answer every picture that the page posts, one after the other. */
export async function serve(scope: WorkerScope): Promise<void> {
  try {
    const motion = await loadMotion();
    const canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    const observe = async (bitmap: ImageBitmap): Promise<Observation> => {
      const { width, height } = bitmap;
      if (canvas.width !== width || canvas.height !== height)
        Object.assign(canvas, { width, height });
      context.drawImage(bitmap, 0, 0);
      bitmap.close();
      return motion.observe(context.getImageData(0, 0, width, height));
    };
    const fail = (error: unknown) =>
      scope.postMessage({ kind: "error", sentence: `The camera has failed: ${String(error)}` });
    scope.onmessage = ({ data }) => {
      observe(data).then(
        (observation) => scope.postMessage({ kind: "picture", observation }),
        fail,
      );
    };
    scope.postMessage({ kind: "ready" });
  } catch (error) {
    scope.postMessage({ kind: "error", sentence: (error as Error).message });
  }
}
