// Run in node: load a GLB or VRM with three.js and three-vrm, and write its vertices as JSON.
//
// node three.mjs MODULES FILE REQUESTS OUT: MODULES is the folder of npm's packages; REQUESTS is JSON,
// a list of {"time": seconds}, {"expression": name} or {}.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules, file, requests, out] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(path.join(modules, name)));
globalThis.self ??= globalThis;
const THREE = await load("three/build/three.module.js");
const { GLTFLoader } = await load("three/examples/jsm/loaders/GLTFLoader.js");
const { MeshoptDecoder } = await load("three/examples/jsm/libs/meshopt_decoder.module.js");
const { VRMLoaderPlugin } = await load("@pixiv/three-vrm/lib/three-vrm.module.js");

const loader = new GLTFLoader();
loader.setMeshoptDecoder(MeshoptDecoder);
loader.register((parser) => new VRMLoaderPlugin(parser));
const data = readFileSync(file);
const buffer = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
const gltf = await new Promise((done, fail) => loader.parse(buffer, "", done, fail));

let mesh;
gltf.scene.traverse((node) => { if (node.isSkinnedMesh) mesh = node; });
const { vrm } = gltf.userData;
const mixer = new THREE.AnimationMixer(gltf.scene);
if (gltf.animations.length) {
  const action = mixer.clipAction(gltf.animations[0]);
  action.setLoop(THREE.LoopOnce);
  action.clampWhenFinished = true;  // else the time of the last key is that of the first
  action.play();
}

function vertices() {
  gltf.scene.updateMatrixWorld(true);
  mesh.skeleton.update();
  const points = [];
  const point = new THREE.Vector3();
  for (let index = 0; index < mesh.geometry.attributes.position.count; index++) {
    mesh.getVertexPosition(index, point);
    points.push(point.applyMatrix4(mesh.matrixWorld).toArray());
  }
  return points;
}

const frames = JSON.parse(requests).map((request) => {
  if ("time" in request) mixer.setTime(request.time);
  if (vrm) {
    vrm.expressionManager.resetValues();
    if ("expression" in request) vrm.expressionManager.setValue(request.expression, 1);
    vrm.expressionManager.update();
  }
  return vertices();
});

writeFileSync(out, JSON.stringify({
  revision: THREE.REVISION,
  frames,
  colours: Array.from(mesh.geometry.attributes.color?.array ?? []),
  material: mesh.material.type ?? mesh.material.map((entry) => entry.type).join(),
  targets: Object.keys(mesh.morphTargetDictionary),
  expressions: vrm ? Object.keys(vrm.expressionManager.expressionMap) : [],
  bones: vrm ? Object.keys(vrm.humanoid.humanBones) : [],
}));
