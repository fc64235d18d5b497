// Run in Chromium: load a GLB with TalkingHead, let it speak visemes, and return what it did.
//
// The request has the file's name, the visemes, names of targets to show alone, and the size.
import { TalkingHead } from "@met4citizen/talkinghead";

const STEP = 800;  // milliseconds a viseme: a frame of a CPU takes a tenth of a second

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export async function main({ file, visemes, shown, size }) {
  const node = document.createElement("div");
  node.style.cssText = `width:${size}px;height:${size}px`;
  document.body.append(node);
  const head = new TalkingHead(node, {
    ttsEndpoint: "/none", lipsyncModules: [], cameraView: "head", modelPixelRatio: 1,
    avatarIdleEyeContact: 0, avatarIdleHeadMove: 0,
  });
  await head.showAvatar({ url: `/files/${file}`, body: "F", avatarMood: "neutral" });
  const mesh = head.morphs[0];
  const { morphTargetDictionary: targets, morphTargetInfluences: weights } = mesh;

  await wait(3000);  // the first frames compile the shaders
  const audio = head.audioCtx.createBuffer(1, 22.05 * (1500 + STEP * visemes.length), 22050);
  const times = visemes.map((_, index) => 1000 + STEP * index);
  head.speakAudio({
    audio, visemes, vtimes: times, vdurations: visemes.map(() => STEP), words: ["test"],
    wtimes: [times[0]], wdurations: [STEP * visemes.length],
  });
  const largest = {};
  const end = performance.now() + STEP * visemes.length + 6000;
  while (performance.now() < end) {
    await wait(16);
    for (const name of visemes) {
      const weight = weights[targets[`viseme_${name}`]];
      largest[name] = Math.max(largest[name] ?? 0, weight);
    }
  }

  head.stop();
  head.renderer.setClearColor(0xffffff, 1);
  const pictures = [null, ...shown].map((name) => {
    weights.fill(0);
    if (name) weights[targets[name]] = 1;
    head.scene.updateMatrixWorld(true);
    head.renderer.render(head.scene, head.camera);
    return head.renderer.domElement.toDataURL("image/png").split(",")[1];
  });
  const eye = head.objectLeftEye.matrixWorld.elements.slice(12, 15);
  const toe = head.objectLeftToeBase.matrixWorld.elements.slice(12, 15);
  const names = Object.keys(targets);
  return { names, largest, pictures, eye, toe, count: weights.length };
}
