"""imavatar-deploy: implicit morphable head avatars, baked once and played in real time.

The ground floor's public face; the rooms have their own: `imavatar_deploy.model` (networks and checkpoints; needs
torch) and `imavatar_deploy.runtime` (`Player`; needs neither torch nor a GPU).
"""

from importlib.metadata import version
from pathlib import Path

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.checkout import add_rooms
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameFrame, FlameTrack, read_track

add_rooms(Path(__file__).absolute().parents[1])

__version__ = version("imavatar-deploy")

__all__ = [
    "Avatar",
    "AvatarFolder",
    "Camera",
    "FlameFrame",
    "FlameTrack",
    "HeadModel",
    "ImavatarError",
    "__version__",
    "open_avatar",
    "read_track",
]
