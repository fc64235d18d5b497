// Run in Chromium: draw a GLB or VRM with three.js and three-vrm; return the pictures.
//
// The request has the file's name, the size of the picture, and frames. Each frame has a projection
// (16 numbers, column by column, from metres to clip space) and one of: a time of the clip, weights
// of morph targets by name, or expressions of a VRM by name.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { MeshoptDecoder } from "three/addons/libs/meshopt_decoder.module.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";

export async function main({ file, size, frames }) {
  const loader = new GLTFLoader();
  loader.setMeshoptDecoder(MeshoptDecoder);
  loader.register((parser) => new VRMLoaderPlugin(parser));
  const gltf = await loader.loadAsync(`/files/${file}`);
  let mesh;
  gltf.scene.traverse((node) => {
    if (node.isSkinnedMesh) mesh = node;
    node.frustumCulled = false;
  });
  const mixer = new THREE.AnimationMixer(gltf.scene);
  if (gltf.animations.length) {
    const action = mixer.clipAction(gltf.animations[0]);
    action.setLoop(THREE.LoopOnce);
    action.clampWhenFinished = true;
    action.play();
  }
  const renderer = new THREE.WebGLRenderer({ antialias: false, preserveDrawingBuffer: true });
  renderer.setSize(size, size, false);
  renderer.setClearColor(0xffffff);
  const scene = new THREE.Scene();
  scene.add(gltf.scene);
  const { vrm } = gltf.userData;
  const camera = new THREE.Camera();
  const pictures = frames.map(({ projection, time, weights, expressions }) => {
    if (time !== undefined) mixer.setTime(time);
    if (weights) {
      mesh.morphTargetInfluences.fill(0);
      for (const [name, weight] of Object.entries(weights)) {
        mesh.morphTargetInfluences[mesh.morphTargetDictionary[name]] = weight;
      }
    }
    if (expressions) {
      vrm.expressionManager.resetValues();
      for (const [name, weight] of Object.entries(expressions)) {
        vrm.expressionManager.setValue(name, weight);
      }
      vrm.expressionManager.update();
    }
    camera.projectionMatrix.fromArray(projection);
    camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
    renderer.render(scene, camera);
    return renderer.domElement.toDataURL("image/png").split(",")[1];
  });
  const colours = mesh.geometry.morphAttributes.color ?? [];
  return {
    revision: THREE.REVISION,
    pictures,
    colourTargets: colours.length,
    targets: Object.keys(mesh.morphTargetDictionary),
  };
}
