/** `follow(url)`: the motion of a WebSocket of FLAME packets, played on an avatar. */

import { CameraBuffer, decodeCamera, type View } from "./cameras";
import { IntervalEstimator, SenderClock } from "./clock";
import type { ImavatarHead } from "./element";
import { EXPRESSIONS, faceOf, JitterBuffer } from "./jitter";
import { decodePacket, type Packet } from "./packet";

const FIRST_INTERVAL = 1 / 30; // seconds between two packets, until they are measured
const LATENCY_SHARE = 1.25; // of that interval: the next packet has then arrived, if a bit late
const FIRST_PAUSE = 0.5; // seconds before a lost connection is tried again, doubled each time
const LONGEST_PAUSE = 4;
const SILENCE = 10; // seconds without a packet, after which a connection is taken for lost
const SEQUENCES = 2 ** 32;

/** Counts of the packets of a connection. */
export interface LiveCounts {
  received: number;
  lost: number; // missing by their numbers
  refused: number; // malformed, or of another head model; messages of cameras, too
  late: number; // repeated, or too late to be shown
}

/** Follows one address until `stop`. It connects again when the connection is lost. */
export class Follower {
  readonly counts: LiveCounts = { received: 0, lost: 0, refused: 0, late: 0 };
  private readonly buffer = new JitterBuffer();
  private readonly intervals = new IntervalEstimator(FIRST_INTERVAL);
  private readonly cameras = new CameraBuffer();
  private clock = new SenderClock();
  private socket: WebSocket | undefined;
  private camera: View | null = null; // of the next packets
  private sequence: number | undefined;
  private shown = -Infinity; // the sender's time on display
  private pause = FIRST_PAUSE;
  private stopped = false;
  private isConnected = false;
  private isRefused = false;
  private timer = 0;
  private silence = 0;
  private request = 0;

  constructor(
    private readonly head: ImavatarHead,
    private readonly url: string,
  ) {
    this.connect();
    this.request = requestAnimationFrame(() => this.show());
  }

  /** End the connection; the head keeps its face. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    cancelAnimationFrame(this.request);
    this.socket?.close();
    this.lose();
  }

  private connect(): void {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => this.listen());
    socket.addEventListener("message", (event: MessageEvent<unknown>) => {
      this.listen();
      this.pause = FIRST_PAUSE;
      this.receive(event.data);
    });
    socket.addEventListener("close", () => {
      if (socket === this.socket) this.reconnect();
    });
  }

  /** A connection that is open and sends is connected; one that is silent is given up. */
  private listen(): void {
    if (this.stopped) return;
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.reconnect(), 1000 * SILENCE);
    if (this.isConnected) return;
    this.isConnected = true;
    this.head.dispatchEvent(new CustomEvent("connected", { detail: this.url }));
  }

  private reconnect(): void {
    if (this.stopped) return;
    clearTimeout(this.silence);
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
    this.lose();
    this.timer = setTimeout(() => this.connect(), 1000 * this.pause);
    this.pause = Math.min(LONGEST_PAUSE, 2 * this.pause);
  }

  /** Tell that a connection ended, or that none could be made. */
  private lose(): void {
    this.isConnected = false;
    this.sequence = undefined;
    this.camera = null;
    this.head.dispatchEvent(new CustomEvent("disconnected", { detail: this.url }));
  }

  private receive(data: unknown): void {
    let packet: Packet;
    try {
      if (typeof data === "string") {
        const camera = decodeCamera(data);
        if (camera !== undefined) this.camera = camera;
        return;
      }
      packet = decodePacket(data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(0));
    } catch {
      this.counts.refused++;
      return;
    }
    const { edition, weights, pose, time } = packet;
    this.count(packet.sequence);
    const model = this.head.avatar?.headModel;
    if (!weights.length || model === undefined) return; // the sender sees no face, or too early
    if (edition !== model) {
      this.refuse(edition, model);
      return;
    }
    const state = this.clock.add(time, performance.now() / 1000);
    if (state === "off") {
      this.counts.late++;
      return;
    }
    if (state === "restarted") {
      this.buffer.clear();
      this.cameras.clear();
      this.intervals.reset();
      this.shown = -Infinity;
    }
    this.cameras.add(time, this.camera);
    const code = Array.from({ length: EXPRESSIONS }, (_, i) => weights[i] ?? 0);
    const { interval } = this.intervals;
    if (this.buffer.insert(time, faceOf(code, pose), this.shown, interval)) this.counts.late++;
    else this.intervals.add(time);
  }

  /** Count a packet of another head model, and tell so once. */
  private refuse(edition: string, model: string): void {
    this.counts.refused++;
    if (this.isRefused) return;
    this.isRefused = true;
    const text = `The motion is for the head model ${edition}, and this avatar has ${model}.`;
    this.head.dispatchEvent(new CustomEvent("error", { detail: text }));
  }

  private count(sequence: number): void {
    this.counts.received++;
    if (this.sequence !== undefined) {
      const step = (sequence - this.sequence + SEQUENCES) % SEQUENCES;
      if (step > 1 && step < SEQUENCES / 2) this.counts.lost += step - 1;
    }
    this.sequence = sequence;
  }

  /** Show the motion as it was one interval ago. */
  private show(): void {
    if (this.stopped) return;
    this.request = requestAnimationFrame(() => this.show());
    if (!this.buffer.count || !this.head.avatar) return;
    const delay = LATENCY_SHARE * this.intervals.interval;
    this.shown = Math.max(this.shown, this.clock.at(performance.now() / 1000) - delay);
    const face = this.buffer.read(this.shown);
    const pose = this.buffer.poseOf(face);
    const shown = this.head.flame;
    const isShown =
      face.expression.every((value, i) => Math.fround(value) === shown.expression[i]) &&
      pose.every((value, i) => Math.fround(value) === shown.pose[i]);
    if (!isShown) this.head.setFlame(face.expression, pose);
    this.head.followCamera(this.cameras.read(this.shown));
  }
}
