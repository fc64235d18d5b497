"""Faces and people in images: detection, 478 landmarks, 52 blendshapes, person masks.

Networks of MediaPipe, as ONNX graphs in the package, run by ONNX Runtime on numpy images. Neither
mediapipe nor TensorFlow nor torch is needed; `pip install 'imavatar-deploy[cpu]'` brings all.

    from imavatar_deploy.vision import FaceTracker, PersonMask

    with FaceTracker() as tracker:
        for image in images:  # [H, W, 3] uint8, RGB, one after another of a video
            face = tracker.track(image)
            if face is not None:
                face.landmarks  # [478, 3]: column, row, depth in pixels
    mask = PersonMask().mask(image)  # [H, W], 0..1

- `FaceTracker` follows one face through a video and finds all faces of an image; its results are
  `TrackedFace`.
- `FaceDetector`, `LandmarkNetwork` and `BlendshapeNetwork` are its parts; `FaceRegion` is the
  rotated square that they pass on.
- `refine_irises` moves the irises to where the image shows them, which `FaceTracker(irises=True)`
  does, too.
- `PersonMask` separates people from the background.

Image coordinates are (column, row) in pixels, with pixel centres at integers. Left and right are
the person's own. The order of the landmarks is MediaPipe's: 468 of the face's mesh, then the right
iris (468 is its centre, 469 to 472 its border) and the left iris (473, 474 to 477).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imavatar_deploy.lazy import lazy_names

if TYPE_CHECKING:
    from .blendshape_network import BlendshapeNetwork
    from .detector import FaceDetection, FaceDetector
    from .irises import refine_irises
    from .landmark_network import LANDMARKS, LandmarkNetwork
    from .person_mask import PersonMask
    from .region import FaceRegion
    from .tracker import FaceTracker, TrackedFace

__all__ = [
    "LANDMARKS",
    "BlendshapeNetwork",
    "FaceDetection",
    "FaceDetector",
    "FaceRegion",
    "FaceTracker",
    "LandmarkNetwork",
    "PersonMask",
    "TrackedFace",
    "refine_irises",
]

PLACES = {
    "BlendshapeNetwork": ".blendshape_network",
    "FaceDetection": ".detector",
    "FaceDetector": ".detector",
    "FaceRegion": ".region",
    "FaceTracker": ".tracker",
    "LANDMARKS": ".landmark_network",
    "LandmarkNetwork": ".landmark_network",
    "PersonMask": ".person_mask",
    "TrackedFace": ".tracker",
    "refine_irises": ".irises",
}

__getattr__, __dir__ = lazy_names(__name__, PLACES)
