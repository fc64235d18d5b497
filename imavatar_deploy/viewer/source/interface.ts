/** The page's controls: sliders by region, and playback of a track. */

import { CameraControls } from "./camera_controls";
import { connectColourScheme } from "./colour_scheme";
import type { ImavatarHead } from "./element";
import { AvatarError, type Model } from "./model";
import { presetsOf, type Preset } from "./presets";

/** A slider of the pose: numbers of the pose that it sets, with their factors. */
interface PoseSlider {
  label: string;
  range: number; // radians to both sides
  parts: readonly (readonly [index: number, factor: number])[];
  oneSided?: boolean;
}

const HEAD_SLIDERS: readonly PoseSlider[] = [
  { label: "Turn", range: 0.7, parts: [[4, 1]] },
  { label: "Nod", range: 0.5, parts: [[3, 1]] },
  { label: "Tilt", range: 0.5, parts: [[5, 1]] },
];
const EYE_SLIDERS: readonly PoseSlider[] = [
  {
    label: "Look sideways",
    range: 0.5,
    parts: [
      [10, 1],
      [13, 1],
    ],
  },
  {
    label: "Look up and down",
    range: 0.4,
    parts: [
      [9, 1],
      [12, 1],
    ],
  },
];
const MOUTH_SLIDERS: readonly PoseSlider[] = [
  { label: "Jaw open", range: 0.45, parts: [[6, 1]], oneSided: true },
];

/** Regions by the beginning of an expression's name. */
const REGIONS: readonly {
  title: string;
  prefixes: readonly string[];
  pose: readonly PoseSlider[];
}[] = [
  { title: "Brows", prefixes: ["brow"], pose: [] },
  { title: "Eyes", prefixes: ["eye"], pose: EYE_SLIDERS },
  { title: "Mouth", prefixes: ["mouth", "jaw", "tongue"], pose: MOUTH_SLIDERS },
  { title: "Cheeks and nose", prefixes: ["cheek", "nose"], pose: [] },
  { title: "Head", prefixes: [], pose: HEAD_SLIDERS },
];
const OTHERS = "Expressions";
const CODE_RANGE = 2; // of a head model whose expressions have no names, in standard deviations
const MAX_TRACK_BYTES = 1 << 28;
const JAW = 6;
const FRAMES_SHOWN = 15; // the frame time that is shown is their median

/** Build the controls once the avatar of `head` is loaded. */
export function buildInterface(head: ImavatarHead, panel: HTMLElement): void {
  connectColourScheme(element(panel, "colours"));
  const start = (): void => {
    const model = head.avatar;
    if (!model) return;
    const sliders = new Sliders(head, model, panel.querySelector<HTMLElement>("[data-sliders]")!);
    buildPresets(head, model, panel, sliders);
    new Playback(head, panel, sliders);
    new Saving(head, panel);
    new CameraControls(head, panel, () => sliders.refresh());
    showFrameTime(head, element(panel, "frame"));
    panel.hidden = false;
  };
  head.addEventListener("load", start, { once: true });
  if (head.avatar) start();
}

/** The element of the panel with the attribute `data-NAME`. */
function element<T extends HTMLElement>(panel: HTMLElement, name: string): T {
  return panel.querySelector<T>(`[data-${name}]`)!;
}

/** A button for every preset; they set expressions and jaw, and leave gaze and head. */
function buildPresets(
  head: ImavatarHead,
  model: Model,
  panel: HTMLElement,
  sliders: Sliders,
): void {
  const presets = presetsOf(model.expressionNames);
  const show = ({ expression, jaw }: Preset): void => {
    head.pause();
    const { pose } = head.flame;
    pose.set([jaw, 0, 0], JAW);
    head.setFlame(
      model.expressionNames.map((name) => expression[name] ?? 0),
      pose,
    );
    sliders.refresh();
  };
  const group = element(panel, "presets");
  group.hidden = !presets.length;
  group.replaceChildren(
    ...presets.map((preset) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = preset.title;
      button.addEventListener("click", () => show(preset));
      return button;
    }),
  );
}

/** Show the time that the program takes for a new pose, and the frames a second of a track. */
function showFrameTime(head: ImavatarHead, text: HTMLElement): void {
  let times: number[] = [];
  let since = 0;
  let last = "";
  head.addEventListener("frame", (event) => {
    const { expression, pose } = head.flame;
    const posed = `${expression} ${pose}`;
    if (posed === last) return; // only the view or the size has changed
    last = posed;
    const now = performance.now();
    if (!times.length) since = now;
    times.push((event as CustomEvent<number>).detail);
    const { playing } = head.playback;
    if (playing && times.length < FRAMES_SHOWN) return;
    const median = times.sort((a, b) => a - b)[times.length >> 1]!;
    const rate = (1000 * (times.length - 1)) / (now - since);
    text.textContent =
      `${median.toFixed(1)} ms a frame` + (playing ? `, ${rate.toFixed(0)} frames a second` : "");
    times = [];
  });
}

/** The sliders, by region. */
class Sliders {
  private readonly inputs: { input: HTMLInputElement; read: () => number }[] = [];

  constructor(
    private readonly head: ImavatarHead,
    model: Model,
    parent: HTMLElement,
  ) {
    const named = new Set<string>();
    const regions = REGIONS.map(({ title, prefixes, pose }) => {
      const names = model.expressionNames.filter((name) =>
        prefixes.some((prefix) => name.startsWith(prefix)),
      );
      names.forEach((name) => named.add(name));
      return { title, names, pose };
    });
    const others = model.expressionNames.filter((name) => !named.has(name));
    if (others.length) regions.push({ title: OTHERS, names: others, pose: [] });
    const shown = regions.filter(({ names, pose }) => names.length + pose.length);
    parent.replaceChildren(...shown.map((region, index) => this.region(region, index < 1, model)));
  }

  /** Move the sliders to what the head shows. */
  refresh(): void {
    for (const { input, read } of this.inputs) {
      input.value = String(read());
      showValue(input);
    }
  }

  private region(
    { title, names, pose }: { title: string; names: string[]; pose: readonly PoseSlider[] },
    open: boolean,
    model: Model,
  ): HTMLElement {
    const section = document.createElement("details");
    section.open = open;
    const summary = document.createElement("summary");
    summary.textContent = title;
    section.append(summary, ...pose.map((row) => this.poseSlider(row)));
    section.append(...names.map((name) => this.expressionSlider(name, title === OTHERS, model)));
    return section;
  }

  private expressionSlider(name: string, isCode: boolean, model: Model): HTMLElement {
    const index = model.expressionNames.indexOf(name);
    const bounds = isCode ? ([-CODE_RANGE, CODE_RANGE] as const) : ([0, 1] as const);
    return this.slider(
      readable(name),
      name,
      bounds,
      () => this.head.flame.expression[index]!,
      (value) => {
        this.head.setExpression(name, value);
      },
    );
  }

  private poseSlider({ label, range, parts, oneSided }: PoseSlider): HTMLElement {
    const id = `pose-${parts[0]![0]}`;
    const [first, factor] = parts[0]!;
    return this.slider(
      label,
      id,
      [oneSided ? 0 : -range, range],
      () => this.head.flame.pose[first]! / factor,
      (value) => {
        const { expression, pose } = this.head.flame;
        for (const [index, scale] of parts) pose[index] = scale * value;
        this.head.setFlame(expression, pose);
      },
    );
  }

  private slider(
    label: string,
    id: string,
    [low, high]: readonly [number, number],
    read: () => number,
    write: (value: number) => void,
  ): HTMLElement {
    const row = document.createElement("label");
    row.className = "slider";
    const text = document.createElement("span");
    text.textContent = label;
    const input = document.createElement("input");
    Object.assign(input, {
      type: "range",
      min: String(low),
      max: String(high),
      step: "0.01",
      value: "0",
      name: id,
    });
    const output = document.createElement("output");
    row.append(text, input, output);
    input.addEventListener("input", () => {
      this.head.pause();
      write(Number(input.value));
      showValue(input);
    });
    showValue(input);
    this.inputs.push({ input, read });
    return row;
  }
}

function showValue(input: HTMLInputElement): void {
  input.nextElementSibling!.textContent = Number(input.value).toFixed(2);
}

/** browDownLeft -> Brow down left. */
function readable(name: string): string {
  const words = name.replace(/([a-z])([A-Z0-9])/g, "$1 $2").toLowerCase();
  return words[0]!.toUpperCase() + words.slice(1);
}

/** Buttons and the time line of a track, and files dropped on the page. */
class Playback {
  private readonly button: HTMLButtonElement;
  private readonly line: HTMLInputElement;
  private readonly clock: HTMLElement;
  private readonly status: HTMLElement;

  constructor(
    private readonly head: ImavatarHead,
    panel: HTMLElement,
    private readonly sliders: Sliders,
  ) {
    const find = <T extends HTMLElement>(name: string): T => element<T>(panel, name);
    this.button = find("play");
    this.line = find("time");
    this.clock = find("clock");
    this.status = find("status");
    this.button.addEventListener("click", () => this.toggle());
    find("reset").addEventListener("click", () => {
      head.reset();
      sliders.refresh();
    });
    this.line.addEventListener("input", () => {
      head.pause();
      head.seek(Number(this.line.value));
      this.showTime();
      sliders.refresh();
    });
    const file = find<HTMLInputElement>("file");
    file.addEventListener("change", () => void this.open(file.files?.[0]));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      void this.open(event.dataTransfer?.files[0]);
    });
    addEventListener("keydown", (event) => {
      const target = event.target as HTMLElement;
      if (event.key !== " " || target.closest("button, summary, input, label")) return;
      event.preventDefault();
      this.toggle();
    });
    head.addEventListener("frame", () => this.follow());
    head.addEventListener("playstate", () => this.showState());
    head.addEventListener("track", () => this.showState());
  }

  private toggle(): void {
    if (this.head.playback.playing) this.head.pause();
    else this.head.play();
    if (!this.head.playback.playing) this.sliders.refresh();
  }

  private async open(file: File | undefined): Promise<void> {
    if (!file) return;
    try {
      if (file.size > MAX_TRACK_BYTES) throw new AvatarError("The file is too large for a track.");
      this.head.setTrack(await file.text());
      this.status.textContent = file.name;
    } catch (error) {
      this.status.textContent =
        error instanceof AvatarError ? error.message : `The file cannot be read: ${String(error)}`;
    }
  }

  private showState(): void {
    const { playing, duration } = this.head.playback;
    this.button.disabled = this.line.disabled = !duration;
    this.button.textContent = playing ? "Pause" : "Play";
    this.line.max = String(duration);
    this.showTime();
  }

  private showTime(): void {
    const { seconds, duration } = this.head.playback;
    const text = duration ? `${seconds.toFixed(1)} / ${duration.toFixed(1)} s` : "";
    this.clock.textContent = text;
    this.line.setAttribute("aria-valuetext", `${seconds.toFixed(1)} of ${duration.toFixed(1)} s`);
  }

  private follow(): void {
    const { playing, seconds } = this.head.playback;
    if (!playing) return;
    this.line.value = String(seconds);
    this.showTime();
  }
}

/** Buttons that save a picture and a video. */
class Saving {
  private readonly status: HTMLElement;
  private readonly button: HTMLButtonElement;
  private recording: AbortController | undefined;

  constructor(
    private readonly head: ImavatarHead,
    panel: HTMLElement,
  ) {
    this.status = element(panel, "status");
    this.button = element(panel, "video");
    element(panel, "picture").addEventListener("click", () =>
      void this.save("head.png", () => head.still()),
    );
    this.button.addEventListener("click", () => {
      if (this.recording) this.recording.abort();
      else void this.record();
    });
  }

  /** Record the track, or some seconds without one; another click ends it. */
  private async record(): Promise<void> {
    const recording = new AbortController();
    this.recording = recording;
    this.button.textContent = "Stop";
    this.status.textContent = "Recording.";
    await this.save("head.webm", () => this.head.record(undefined, recording.signal));
    this.recording = undefined;
    this.button.textContent = "Save video";
  }

  private async save(name: string, make: () => Promise<Blob>): Promise<void> {
    try {
      const blob = await make();
      const file = blob.type.startsWith("video/mp4") ? name.replace("webm", "mp4") : name;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      this.status.textContent = `Saved as ${file}.`;
    } catch (error) {
      this.status.textContent =
        error instanceof AvatarError ? error.message : `It cannot be saved: ${String(error)}`;
    }
  }
}
