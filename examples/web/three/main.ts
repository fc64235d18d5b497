/** A head of imavatar-deploy among ordinary objects of three.js. A ring turns around it. */

import * as THREE from "three";
import { loadAvatarMesh } from "imavatar-head/three";

const renderer = new THREE.WebGLRenderer({ antialias: true });
renderer.setSize(innerWidth, innerHeight);
document.body.append(renderer.domElement);

const scene = new THREE.Scene();
scene.background = new THREE.Color(0xdfe3e8);
scene.add(new THREE.HemisphereLight(0xffffff, 0x404850, 3));
const camera = new THREE.PerspectiveCamera(25, innerWidth / innerHeight, 0.1, 10);
camera.position.set(0, 0.1, 1.1);
camera.lookAt(0, 0, 0);

const ring = new THREE.Mesh(
  new THREE.TorusGeometry(0.16, 0.015, 24, 96),
  new THREE.MeshStandardMaterial({ color: 0x2a62c4, roughness: 0.4 }),
);
ring.rotation.x = Math.PI / 2 - 0.3;
scene.add(ring);

const head = await loadAvatarMesh("avatar.bin");
scene.add(head);

renderer.setAnimationLoop((milliseconds) => {
  const seconds = milliseconds / 1000;
  ring.rotation.z = seconds;
  head.rotation.y = 0.3 * Math.sin(seconds);
  const smile = 0.5 + 0.5 * Math.sin(2 * seconds);
  head.setExpression("mouthSmileLeft", smile);
  head.setExpression("mouthSmileRight", smile);
  renderer.render(scene, camera);
  document.body.dataset["frames"] = String(renderer.info.render.frame);
});
