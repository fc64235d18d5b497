// Run in Chromium: load a GLB with model-viewer; return the USDZ that it makes for iPhones, in base64.
import "@google/model-viewer";

export async function main({ file }) {
  const viewer = document.createElement("model-viewer");
  viewer.loading = "eager";
  viewer.style.cssText = "display: block; width: 256px; height: 256px";
  const loaded = new Promise((resolve, reject) => {
    viewer.addEventListener("load", resolve);
    viewer.addEventListener("error", (event) => reject(new Error(JSON.stringify(event.detail))));
  });
  viewer.src = `/files/${file}`;
  document.body.append(viewer);
  await loaded;
  const content = await (await fetch(await viewer.prepareUSDZ())).arrayBuffer();
  let text = "";
  for (const byte of new Uint8Array(content)) text += String.fromCharCode(byte);
  return btoa(text);
}
