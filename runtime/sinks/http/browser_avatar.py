"""BrowserAvatar: the avatar of a run as the file that browsers draw, or why they cannot."""

from __future__ import annotations

import threading
from typing import Any

import imavatar_deploy
from imavatar_deploy.avatar_io import ARRAYS, AvatarFolder
from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.marking import extras
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.student import STUDENT_FILE, Student, has_student, read_student
from imavatar_deploy.viewer.avatar_file import PREFIX, VERSION, WIDTHS, encode

from ...streams import EDITION_CODES
from ..sink import Stream

EXPORTED = "web/avatar.bin"
"""The file in an avatar folder that was exported with `--format web`."""

DIGEST_DIGITS = 16


class BrowserAvatar:
    """Reads or encodes the file of an avatar on the first request."""

    def __init__(self, stream: Stream) -> None:
        self._folder = stream.folder
        self._synthetic_mark = stream.synthetic_mark
        self._student: Student | None = None
        self._data: bytes | None = None
        self._encoding = threading.Lock()
        self.obstacle = self._obstacle()
        """Why browsers cannot draw the avatar, as a clause; empty where they can."""

    @property
    def digest(self) -> str:
        """Identifies the avatar: a page that shows another one has to be loaded again."""
        files = {} if self._folder is None else self._folder.manifest.get("files", {})
        return str(files.get(ARRAYS, {}).get("sha256", ""))[:DIGEST_DIGITS]

    def data(self) -> bytes:
        """The file; call it where there is no obstacle. Encoding takes a second or more."""
        with self._encoding:  # the first request encodes, the others wait for its result
            if self._data is None:
                assert self._folder is not None
                self._data = self._exported(self._folder) or self._encoded(self._folder)
            return self._data

    def _obstacle(self) -> str:
        folder = self._folder
        if folder is None:
            return "this run has no avatar folder"
        if folder.avatar.edition not in EDITION_CODES:
            return f"packets have no code for the head model {folder.avatar.edition}"
        if folder.avatar.expression_size != EXPRESSION_SIZE:
            return f"the avatar has {folder.avatar.expression_size} expressions"
        if not has_student(folder):
            return "the avatar has no student; export it again without --no-student"
        try:
            self._student = read_student(folder)
        except InputError as error:
            return str(error)
        if self._student.width not in WIDTHS:
            return (
                f"its student is {self._student.width} wide; export it again with "
                f"--student {WIDTHS[-1]}"
            )
        return ""

    def _exported(self, folder: AvatarFolder) -> bytes | None:
        """The file of the folder, where it has one that this version reads."""
        if EXPORTED not in folder.manifest.get("files", {}):
            return None
        data = folder.file(EXPORTED).read_bytes()
        version = PREFIX.unpack_from(data)[1] if len(data) >= PREFIX.size else None
        return data if version == VERSION else None

    def _encoded(self, folder: AvatarFolder) -> bytes:
        assert self._student is not None, STUDENT_FILE
        avatar = folder.avatar
        facts: dict[str, Any] = {
            "producer": f"imavatar-deploy {imavatar_deploy.__version__}",
            **extras(self._synthetic_mark),
        }
        return encode(avatar, self._student, resting_camera(avatar), facts).data
