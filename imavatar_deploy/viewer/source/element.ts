/** `<imavatar-head src="avatar.bin" track="track.json">`: loads, draws and animates an avatar. */

import { OrbitCamera } from "./camera";
import { CameraSession, type CameraSessionState } from "./camera_session";
import type { View } from "./cameras";
import type { Geometry } from "./gpu_deformer";
import { POSE_SIZE } from "./kinematics";
import { Follower, type LiveCounts } from "./live";
import { AvatarError, loadModel, type Model } from "./model";
import { pictureOf, videoOf } from "./recorder";
import { Renderer, type ImageMatrix } from "./renderer";
import { conditionOf } from "./shaders";
import { areFinite, duration, parseTrack, sample, type Track } from "./track";

const KEY_TURN = 0.1;
const KEY_ZOOM = 1.1;
const SLOW_FRAME = 28; // milliseconds
const FAST_FRAME = 18;
const FRAMES_TO_JUDGE = 30;
const MIN_RESOLUTION = 0.5;
const VIDEO_SECONDS = 5; // without a track

const STYLE = `
:host { display: block; position: relative; min-height: 8rem; touch-action: none; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
canvas { outline-offset: -3px; cursor: grab; }
canvas:active { cursor: grabbing; }
p { position: absolute; inset: auto 1rem; top: 40%; margin: 0 auto; max-width: 32rem; }
p { text-align: center; }
p:empty { display: none; }
`;

/** Names of the events; `frame` follows every drawn frame. */
export type HeadEvent =
  | "load"
  | "error"
  | "frame"
  | "playstate"
  | "track"
  | "camerastate"
  | "connected"
  | "disconnected";

/** Without a document, as where a server renders pages, the module can be imported all the same. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

export class ImavatarHead extends Base {
  static readonly observedAttributes = ["src"];

  private readonly canvas = document.createElement("canvas");
  private readonly message = document.createElement("p");
  private model: Model | undefined;
  private renderer!: Renderer;
  private camera!: OrbitCamera;
  private expression = new Float32Array(0);
  private pose = new Float32Array(POSE_SIZE);
  private track: Track | undefined;
  private seconds = 0;
  private playing = false;
  private isRecording = false;
  private isPosed = false;
  private request = 0;
  private lastTime = 0;
  private resolution = 1;
  private frameTimes: number[] = [];
  private loading: AbortController | undefined;
  private follower: Follower | undefined;
  private readonly webcam = new CameraSession(
    this,
    (state) => this.emit("camerastate", state),
    (sentence) => this.emit("error", sentence),
  );
  private readonly pointers = new Map<number, PointerEvent>();

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.message.setAttribute("role", "alert");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute(
      "aria-label",
      "Animated head, rendered by a trained avatar. Arrow keys turn it.",
    );
    root.append(style, this.canvas, this.message);
    this.listen();
    new ResizeObserver(() => this.redraw()).observe(this);
  }

  attributeChangedCallback(_name: string, before: string | null, src: string | null): void {
    if (src !== null && src !== before) void this.load(src);
  }

  disconnectedCallback(): void {
    this.pause();
    this.unfollow();
    this.stopCamera();
  }

  /** The decoded avatar; undefined before the event `load`. */
  get avatar(): Model | undefined {
    return this.model;
  }

  /** Set one expression by its name and draw. */
  setExpression(name: string, value: number): void {
    const index = this.loaded().expressionNames.indexOf(name);
    if (index < 0) throw new RangeError(`the avatar has no expression ${name}`);
    if (!areFinite([value]))
      throw new RangeError(`an expression must be a finite number, got ${value}`);
    this.expression[index] = value;
    this.changed();
  }

  /** Set all expressions, and the pose: axis-angle of global, neck, jaw and eyes in radians. */
  setFlame(expression: ArrayLike<number>, pose: ArrayLike<number>): void {
    const size = this.loaded().expressionNames.length;
    for (const [what, values, count] of [
      ["expression", expression, size],
      ["pose", pose, POSE_SIZE],
    ] as const) {
      if (values.length !== count || !areFinite(values)) {
        throw new RangeError(`the ${what} must be ${count} finite numbers, got ${values.length}`);
      }
    }
    this.expression.set(expression);
    this.pose.set(pose);
    this.changed();
  }

  /** Expression and pose that are shown, as copies. */
  get flame(): { expression: Float32Array; pose: Float32Array } {
    return { expression: this.expression.slice(), pose: this.pose.slice() };
  }

  /** Return to the neutral face and the camera that is followed or the front view; a track stops. */
  reset(): void {
    this.pause();
    this.expression.fill(0);
    this.pose.fill(0);
    this.camera?.reset();
    this.changed();
  }

  /** Load the text of a track file. It plays, unless the reader prefers reduced motion. */
  setTrack(text: string): void {
    this.track = parseTrack(text, this.loaded());
    this.emit("track");
    this.seek(0);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) this.play();
  }

  /** Play the track, in a loop. */
  play(): void {
    if (!this.track || this.playing) return;
    this.unfollow();
    this.stopCamera();
    this.playing = true;
    this.lastTime = 0;
    this.emit("playstate");
    this.redraw();
  }

  /** Hold the present frame. */
  pause(): void {
    if (!this.playing) return;
    this.playing = false;
    this.emit("playstate");
  }

  /** Play the motion that a WebSocket sends as FLAME packets, as that of `imavatar-run`. */
  follow(url: string): void {
    this.pause();
    this.unfollow();
    this.stopCamera();
    this.follower = new Follower(this, url);
  }

  /** End the connection of `follow`. */
  unfollow(): void {
    this.follower?.stop();
    this.follower = undefined;
    this.followCamera(null);
  }

  /** Counts of the packets that were followed; undefined without `follow`. */
  get live(): LiveCounts | undefined {
    return this.follower && { ...this.follower.counts };
  }

  /** Let the face before the camera move the head; its pictures stay in the browser.
   *
   * The attribute `camera` names the module that the export writes with `--web-camera`.
   */
  async startCamera(): Promise<void> {
    const model = this.loaded();
    this.pause();
    this.unfollow();
    await this.webcam.start(this.getAttribute("camera"), model);
  }

  /** Close the camera; the head keeps its face. */
  stopCamera(): void {
    this.webcam.stop();
  }

  /** Make the face of the next second before the camera the neutral one. */
  calibrateCamera(): void {
    this.webcam.calibrate();
  }

  /** What the camera shows, and the median milliseconds that a picture takes. */
  get cameraState(): { state: CameraSessionState; milliseconds: number } {
    const { state, milliseconds } = this.webcam;
    return { state, milliseconds };
  }

  /** Show the track at a time in seconds. */
  seek(seconds: number): void {
    if (!this.track) return;
    this.seconds = Math.min(duration(this.track), Math.max(0, seconds));
    const { expression, pose } = sample(this.track, this.seconds);
    this.setFlame(expression, pose);
  }

  /** Whether a track plays, its time and length in seconds; a length of 0 without a track. */
  get playback(): { playing: boolean; seconds: number; duration: number } {
    return {
      playing: this.playing,
      seconds: this.seconds,
      duration: this.track ? duration(this.track) : 0,
    };
  }

  /** Look through the camera of a motion that is followed, unless the user has turned the view. */
  followCamera(camera: View | null): void {
    if (this.camera?.follow(camera)) this.redraw();
  }

  /** Turn the view; radians. */
  turn(yaw: number, pitch: number): void {
    this.camera?.turn(yaw, pitch);
    this.redraw();
  }

  /** Enlarge the view by a factor. */
  zoom(factor: number): void {
    this.camera?.zoom(factor);
    this.redraw();
  }

  /** A PNG of the view, in the canvas's full resolution, with a transparent background. */
  async still(): Promise<Blob> {
    this.loaded();
    if (!this.renderer.isReady)
      throw new AvatarError("The picture could not be saved: the browser has paused its graphics.");
    const { resolution } = this;
    if (!this.isRecording) this.resolution = 1;
    this.render();
    this.resolution = resolution;
    this.redraw();
    return pictureOf(this.canvas);
  }

  /** Record a video of the view, as WebM where the browser can.
   *
   * @param seconds: of what is shown; without it the track once from its start, or 5 s of a view
   *   without a track, or of the camera.
   * @param signal: ends the recording early; the video until then is returned.
   */
  async record(seconds?: number, signal?: AbortSignal): Promise<Blob> {
    this.loaded();
    const isTrack = seconds === undefined && this.track && this.webcam.state === "off";
    const length = seconds ?? (isTrack ? this.playback.duration : VIDEO_SECONDS);
    if (!(length > 0 && length < Infinity))
      throw new RangeError(`a video must have a positive number of seconds, got ${length}`);
    if (this.isRecording) throw new Error("a video is being recorded; wait for its end");
    const { playing } = this;
    this.resize();
    this.isRecording = true;
    try {
      if (isTrack) {
        this.seek(0);
        this.play();
      }
      this.redraw();
      return await videoOf(this.canvas, length, signal);
    } finally {
      this.isRecording = false;
      if (!playing) this.pause();
    }
  }

  /** Draw a frame aside and return its RGBA bytes, without anti-aliasing, the top row first.
   *
   * @param matrix: projection to pixels, rows of [3, 4]; pixel centres are at integer coordinates.
   * @param normals: normals, components -1..1 as bytes 1..255, in place of colours.
   */
  pixels(
    expression: ArrayLike<number>,
    pose: ArrayLike<number>,
    matrix: ImageMatrix,
    width: number,
    height: number,
    normals = false,
  ): Uint8Array {
    const model = this.loaded();
    this.renderer.pose(expression, pose);
    this.isPosed = false;
    return this.renderer.pixels(
      conditionOf(model, expression, pose),
      matrix,
      width,
      height,
      normals,
    );
  }

  /** Deform the surface aside and return positions and unit normals, model units. */
  geometry(expression: ArrayLike<number>, pose: ArrayLike<number>): Geometry {
    this.loaded();
    this.renderer.pose(expression, pose);
    this.isPosed = false;
    return this.renderer.geometry();
  }

  private loaded(): Model {
    if (!this.model) throw new Error("the avatar is not loaded yet; wait for the event load");
    return this.model;
  }

  private async load(src: string): Promise<void> {
    this.loading?.abort();
    const loading = new AbortController();
    this.loading = loading;
    this.message.textContent = "";
    try {
      const model = await loadModel(src, loading.signal);
      if (loading.signal.aborted) return;
      this.renderer = new Renderer(this.canvas, model);
      this.camera = new OrbitCamera(model.camera);
      this.expression = new Float32Array(model.expressionNames.length);
      this.pose = new Float32Array(POSE_SIZE);
      this.model = model;
      this.changed();
      this.emit("load");
      await this.loadTrack(loading.signal);
    } catch (error) {
      if (!loading.signal.aborted) this.fail(error);
    }
  }

  /** Load the track that the attribute `track` names, if there is one. */
  private async loadTrack(signal: AbortSignal): Promise<void> {
    const address = this.getAttribute("track");
    if (address === null) return;
    let response: Response;
    try {
      response = await fetch(address, { signal });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new AvatarError("The track could not be loaded. Check the connection.");
    }
    if (!response.ok)
      throw new AvatarError(
        `The track could not be loaded: the server answered ${response.status}.`,
      );
    this.setTrack(await response.text());
  }

  private fail(error: unknown): void {
    const text =
      error instanceof AvatarError ? error.message : `The avatar cannot be shown: ${String(error)}`;
    this.message.textContent = text;
    this.emit("error", text);
  }

  private emit(name: HeadEvent, detail?: string | number): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  private changed(): void {
    this.isPosed = false;
    this.redraw();
  }

  private redraw(): void {
    if (this.model && !this.request)
      this.request = requestAnimationFrame((time) => this.drawFrame(time));
  }

  private drawFrame(time: number): void {
    this.request = 0;
    if (!this.model || !this.renderer.isReady) return;
    this.advance(time);
    const start = performance.now();
    this.render();
    this.emit("frame", performance.now() - start);
    if (this.playing || this.isRecording) this.redraw();
  }

  private render(): void {
    const model = this.loaded();
    this.resize();
    if (!this.isPosed) {
      this.renderer.pose(this.expression, this.pose);
      this.isPosed = true;
    }
    const { width, height } = this.canvas;
    const matrix = this.camera.imageMatrix(width, height);
    this.renderer.draw(conditionOf(model, this.expression, this.pose), matrix);
  }

  /** Advance a playing track, and lower the resolution where frames come late. */
  private advance(time: number): void {
    if (!this.playing || !this.track) return;
    const elapsed = this.lastTime ? time - this.lastTime : 0;
    this.lastTime = time;
    this.seconds = (this.seconds + elapsed / 1000) % duration(this.track);
    const { expression, pose } = sample(this.track, this.seconds);
    this.expression.set(expression);
    this.pose.set(pose);
    this.isPosed = false;
    if (this.isRecording) return; // the size of a video is constant
    this.frameTimes.push(elapsed);
    if (this.frameTimes.length < FRAMES_TO_JUDGE) return;
    const median = this.frameTimes.sort((a, b) => a - b)[FRAMES_TO_JUDGE >> 1]!;
    this.frameTimes = [];
    if (median > SLOW_FRAME) this.resolution = Math.max(MIN_RESOLUTION, this.resolution * 0.8);
    else if (median < FAST_FRAME) this.resolution = Math.min(1, this.resolution * 1.1);
  }

  private resize(): void {
    if (this.isRecording) return;
    const ratio = Math.min(2, devicePixelRatio) * this.resolution;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height)
      Object.assign(this.canvas, { width, height });
  }

  private listen(): void {
    const { canvas } = this;
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // the browser then restores it
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.renderer.restore();
      this.changed();
    });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom(Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) / 600));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** One pointer turns the view; the distance of two enlarges it. */
  private drag(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, event);
    if (!other) {
      const scale = Math.PI / Math.max(1, this.canvas.clientHeight);
      this.turn((before.clientX - event.clientX) * scale, (event.clientY - before.clientY) * scale);
      return;
    }
    const distance = (point: PointerEvent) =>
      Math.max(1, Math.hypot(point.clientX - other.clientX, point.clientY - other.clientY));
    this.zoom(distance(event) / distance(before));
  }

  private onKey(event: KeyboardEvent): void {
    const actions: Record<string, () => void> = {
      ArrowLeft: () => this.turn(-KEY_TURN, 0),
      ArrowRight: () => this.turn(KEY_TURN, 0),
      ArrowUp: () => this.turn(0, KEY_TURN),
      ArrowDown: () => this.turn(0, -KEY_TURN),
      "+": () => this.zoom(KEY_ZOOM),
      "-": () => this.zoom(1 / KEY_ZOOM),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "imavatar-head": ImavatarHead;
  }
}
