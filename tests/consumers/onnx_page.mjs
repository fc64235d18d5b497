// Run in Chromium: evaluate a graph with onnxruntime-web; return its first output.
//
// The request has the file's name, and for every input its values and its shape.
import * as ort from "onnxruntime-web";

export async function main({ file, inputs }) {
  ort.env.wasm.wasmPaths = "/modules/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = 1;  // more need a page that is isolated from other origins
  const session = await ort.InferenceSession.create(`/files/${file}`);
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, { values, shape }]) =>
      [name, new ort.Tensor("float32", Float32Array.from(values), shape)]),
  );
  const results = await session.run(feeds);
  const output = results[session.outputNames[0]];
  return { version: ort.env.versions.web, shape: output.dims, values: Array.from(output.data) };
}
