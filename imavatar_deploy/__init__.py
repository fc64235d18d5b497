"""imavatar-deploy: implicit morphable head avatars, baked once and played in real time.

The ground floor's public face; the rooms have their own: `imavatar_deploy.model` (networks and checkpoints; needs
torch) and `imavatar_deploy.runtime` (`Player`; needs neither torch nor a GPU).
"""

from importlib.metadata import version

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameFrame, FlameTrack, read_track

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
