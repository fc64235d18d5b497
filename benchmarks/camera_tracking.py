"""Camera tracking: speed, errors against rendered subjects, and jitter, as Markdown.

    imavatar-data synth --subject female1 --out female1 --size 512
    python benchmarks/camera_tracking.py female1 [male1 ...] [--seconds 5]

Every dataset's images become a clip, forwards, backwards and forwards again.

- Speed: images a second of each stage by itself, of all stages in turn (one thread), and of the
  source's own threads while a player draws as fast as it can. The processor time of an image does
  not depend on what else the machine does, as its rate does.
- Errors: of the observations, against the codes from which the images were rendered. The lip gap is
  the mean distance of five pairs of points of the inner lips on the head model, of the fitted face
  without knowledge of the true shape. The rows are of the first pass, with the quick estimate of
  the shape, and of the last one, after the calibration; the first frames of each are left out.
- Jitter: of one still image with noise of four grey values, 30 images a second, before and after
  the live motion with its default smoothing (60 frames a second): rms of second differences,
  divided by sqrt(6), which is the standard deviation of independent noise.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, process_time, thread_time

import av
import click
import cv2
import numpy as np

from imavatar_deploy.blas import single_threaded_blas
from imavatar_deploy.head_fit import FrameFitter, landmark_points
from imavatar_deploy.head_model import HeadModel, read_head_model
from imavatar_deploy.kinematics import axis_angles, product
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.live.motion import MotionPipeline, MotionSettings
from imavatar_deploy.runtime.live.motion.face_state import face_of
from imavatar_deploy.runtime.sources.face_motion import intrinsics_of, open_face_motion
from imavatar_deploy.runtime.sources.observation import Arrival, Observation
from imavatar_deploy.runtime.timing import machine
from imavatar_deploy.video.decode import VideoReader
from imavatar_deploy.vision import FaceTracker

INNER_LIPS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
"""Pairs of landmarks of the upper and the lower inner lip."""

FPS = 25
NOISE = 4.0
"""Standard deviation of the noise of a still image, grey values."""

DISPLAY = 60
"""Frames of the display a second."""

SETTLED = 60
"""Frames after which the shape is estimated and the blend is over."""

CALIBRATED = 230
"""Frames of a still image, 30 a second, after which the face is calibrated."""

PASSES = 3
"""Times that a clip shows all frames: the calibration is over in the last one."""


def frames_of(dataset: Path) -> tuple[list[np.ndarray], dict]:
    """Images (RGB) of a rendered subject, and its `flame_params.json`."""
    truth = json.loads((dataset / "flame_params.json").read_text(encoding="utf-8"))
    images = [
        cv2.cvtColor(
            cv2.imread(str((dataset / frame["file_path"]).with_suffix(".png")), cv2.IMREAD_COLOR),
            cv2.COLOR_BGR2RGB,
        )
        for frame in truth["frames"]
    ]
    return images, truth


def write_clip(images: Iterable[np.ndarray], path: Path) -> Path:
    """Write images as H.264 of high quality."""
    images = list(images)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=FPS, options={"crf": "16"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


# Speed


def rate(work: Callable[[], int], seconds: float) -> str:
    """Images a second of `work`, which is repeated and returns their number; processor ms each."""
    work()
    start, spent = perf_counter(), process_time()
    count = 0
    while perf_counter() - start < seconds:
        count += work()
    spent = process_time() - spent
    return f"{count / (perf_counter() - start):.0f} | {1e3 * spent / count:.1f}"


def decode(clip: Path) -> int:
    with VideoReader(clip) as reader:
        return sum(frame.image() is not None for frame in reader.frames())


def drawn_beside(clip: Path, size: int | None, seconds: float, focal: float) -> str:
    """Images tracked a second by the source's threads, and frames drawn a second beside them."""
    tracked, spent = 0, 0.0
    with VideoReader(clip) as reader:
        images = [frame.image() for frame in reader.frames()]
    with open_face_motion(focal) as motion, Player("sample", size=size or 64, threads=1) as player:
        stop = []

        def track() -> None:
            nonlocal tracked, spent
            for index in range(10**9):
                motion.observe(images[index % len(images)], index / FPS)
                spent = thread_time()
                if stop:
                    return
                tracked += 1

        player.warm_up()
        for index in range(10**9):
            motion.observe(images[index % len(images)], index / FPS - 1e6)
            motion.wait(60)
            if motion.state == "calibrated":
                break
        thread = threading.Thread(target=track)
        start = perf_counter()
        thread.start()
        drawn = 0
        face = np.zeros(50), np.zeros(15)
        while perf_counter() - start < seconds:
            if size is None:
                threading.Event().wait(0.05)
            else:
                player.render(*face)
                drawn += 1
        lasted = perf_counter() - start
        stop.append(True)
        thread.join()
    each = 1e3 * spent / max(tracked, 1)
    return f"{tracked / lasted:.0f} | {each:.1f} | {drawn / lasted:.0f}"


def speed(clip: Path, seconds: float, focal: float) -> Iterator[str]:
    with VideoReader(clip) as reader:
        images = [frame.image() for frame in reader.frames()]
    size = images[0].shape[1::-1]
    with single_threaded_blas(), FaceTracker() as tracker:
        faces = [tracker.track(image) for image in images]
        landmarks = [face.landmarks for face in faces if face]
        fitter = FrameFitter(read_head_model("openhead"), intrinsics_of(focal, size), size)
        rows = {
            "decode": partial(decode, clip),
            "landmarks": lambda: sum(tracker.track(image) is not None for image in images),
            "fit": lambda: sum(fitter.fit(points).error >= 0 for points in landmarks),
            "landmarks and fit": lambda: sum(
                fitter.fit(face.landmarks).error >= 0 for face in map(tracker.track, images) if face
            ),
        }
        yield f"Images of {size[0]} x {size[1]}:\n"
        yield "| stage | images/s | processor ms an image | drawn frames/s |\n|---|---|---|---|"
        for name, work in rows.items():
            yield f"| {name} | {rate(work, seconds)} | |"
    for name, pixels in (("all, alone", None), ("all, beside the sample at 256 x 256", 256)):
        yield f"| {name} | {drawn_beside(clip, pixels, seconds, focal)} |"


# Errors


def there_and_back(images: list[np.ndarray]) -> list[np.ndarray]:
    """The images of all passes: every second one backwards, so that the head does not jump."""
    return [image for number in range(PASSES) for image in images[:: -1 if number % 2 else 1]]


def observed(clip: Path, focal: float) -> list[Observation | str]:
    """What the source makes of every frame of a clip, without a clock."""
    with VideoReader(clip) as reader, open_face_motion(focal) as motion:
        faces = []
        for frame in reader.frames():
            faces.append(motion.observe(frame.image(), frame.time))
            motion.wait(60)
        if motion.state != "calibrated":
            raise click.ClickException(f"the face is {motion.state} at the end of {clip.name}")
    return faces


def lip_gap(head: HeadModel, expression: np.ndarray, pose: np.ndarray) -> float:
    """Mean distance of the inner lips, millimetres."""
    vertices = head.vertices(np.float32(expression), np.float32(pose))
    points = landmark_points(head).positions(vertices, head.faces)
    return 1e3 * float(np.mean([np.linalg.norm(points[a] - points[b]) for a, b in INNER_LIPS]))


def degrees_apart(pose: np.ndarray, other: np.ndarray, bones: slice) -> float:
    """Rms of the angles between rotations, degrees."""
    none = np.zeros((len(pose), 50))
    turns = face_of(none, pose).minus(face_of(none, other))[:, 50:].reshape(-1, 5, 3)[:, bones]
    return float(np.degrees(np.sqrt(np.square(turns).sum(axis=2).mean())))


def turn_between(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[T, 3] rotations of the head from the other pose to this one, axis-angle."""
    none = np.zeros((len(pose), 50))
    return face_of(none, pose).minus(face_of(none, other))[:, 50:53]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def errors(name: str, clip: Path, truth: dict, focal: float) -> Iterator[str]:
    """The rows of a clip: of the frames with the estimated shape, and of the calibrated ones."""
    faces = observed(clip, focal)
    count = len(truth["frames"])
    for state, start in (("estimated", 0), ("calibrated", (PASSES - 1) * count)):
        pairs = [
            (truth["frames"][index], face)
            for index in range(SETTLED, count)
            if isinstance(face := faces[start + index], Observation)
            and face.provisional == (state == "estimated")
        ]
        yield f"| {name}, {state} | {len(pairs)} | {figures(truth, pairs)} |"


def figures(truth: dict, pairs: list[tuple[dict, Observation]]) -> str:
    """The cells of a row."""
    head = read_head_model("openhead")
    subject = head.for_subject(np.array(truth["shape_params"], dtype=np.float32))
    true_pose = np.array([frame["pose"] for frame, _ in pairs])
    true_expression = np.array([frame["expression"] for frame, _ in pairs])
    expression = np.array([face.weights for _, face in pairs])
    pose = np.array([face.pose for _, face in pairs])
    true_gap = np.array(
        [lip_gap(subject, *c) for c in zip(true_expression, true_pose, strict=True)]
    )
    gap = np.array([lip_gap(head, *c) for c in zip(expression, pose, strict=True)])
    whole = face_of(true_expression, true_pose)
    true_head = true_pose.copy()
    true_head[:, :3] = axis_angles(product(whole.turns[:, 0], whole.turns[:, 1])[:, None])
    pitch = np.degrees(turn_between(pose, true_head)[:, 0])
    return (
        f"{correlation(pose[:, 6], true_gap):.3f} | {correlation(gap, true_gap):.3f} | "
        f"{correlation(true_pose[:, 6], true_gap):.3f} | "
        f"{degrees_apart(pose, true_pose, slice(2, 3)):.2f} | "
        f"{degrees_apart(pose, true_head, slice(0, 1)):.2f} | {pitch.mean():+.2f} | "
        f"{degrees_apart(pose, true_pose, slice(3, 5)):.2f} | "
        f"{correlation(expression, true_expression):.2f}"
    )


# Jitter


def second_differences(values: np.ndarray) -> float:
    """Standard deviation of independent noise in `[T, n]`, rms over n."""
    return float(np.sqrt(np.square(np.diff(values, 2, axis=0)).mean() / 6))


def jitter(image: np.ndarray, focal: float, frames: int = 330) -> Iterator[str]:
    random = np.random.default_rng(0)
    pipeline = MotionPipeline({"openhead": lambda *face: face}, MotionSettings(fps=30))
    raw, shown = [], []
    with open_face_motion(focal) as motion:
        for index in range(frames):
            noisy = image + random.normal(0, NOISE, image.shape)
            face = motion.observe(np.clip(noisy, 0, 255).astype(np.uint8), index / 30)
            motion.wait(60)
            if isinstance(face, str):
                continue
            pipeline.push(Arrival(face, index / 30))
            raw.append((face.weights, face.pose))
            for step in (0, 1):
                if sample := pipeline.at(index / 30 + step / DISPLAY):
                    shown.append((sample.expression, sample.pose))
    for name, faces in (("tracked", raw[CALIBRATED:]), ("shown", shown[2 * CALIBRATED :])):
        expression = np.array([face[0] for face in faces])
        pose = np.degrees([face[1] for face in faces])
        yield (
            f"| {name} | {second_differences(pose[:, :3]):.3f} | "
            f"{second_differences(pose[:, 6:7]):.3f} | {second_differences(pose[:, 9:]):.3f} | "
            f"{second_differences(expression):.4f} | {expression.std(axis=0).max():.3f} | "
            f"{pose[:, :3].std(axis=0).max():.3f} |"
        )


@click.command()
@click.argument("datasets", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seconds", default=5.0, show_default=True, help="Of each row of the speed.")
@click.option("--focal", type=float, help="Focal length of the source, pixels.  [default: true]")
def main(datasets: tuple[Path, ...], seconds: float, focal: float | None) -> None:
    """Measure camera tracking on rendered subjects and print Markdown."""
    click.echo(f"# Camera tracking\n\n{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        clips = []
        for dataset in datasets:
            images, truth = frames_of(dataset)
            clip = write_clip(there_and_back(images), Path(folder) / f"{dataset.name}.mp4")
            pixels = focal or abs(truth["intrinsics"][0]) * images[0].shape[1]
            clips.append((dataset.name, clip, truth, images, pixels))
        _, clip, _, images, pixels = clips[0]
        click.echo("## Errors\n")
        click.echo(
            "| subject | frames | jaw to lip gap | lip gap to lip gap | true jaw to lip gap | jaw, "
            "degrees | head | pitch of the head, mean | eyes | expression |\n|---|---|---|---|---|"
            "---|---|---|---|---|"
        )
        for name, path, truth, _, true_focal in clips:
            for line in errors(name, path, truth, true_focal):
                click.echo(line)
        click.echo("\n## Speed\n")
        for line in speed(clip, seconds, pixels):
            click.echo(line)
        click.echo("\n## Jitter of a still image\n")
        click.echo(
            "| | head, degrees | jaw | eyes | expression | its largest deviation | head's largest "
            "deviation, degrees |\n|---|---|---|---|---|---|---|"
        )
        for line in jitter(images[0], pixels):
            click.echo(line)


if __name__ == "__main__":
    main()
