"""Consent of the person in a video: asked for once, stored as `consent.json`, read by later stages.

A video of a face is processed after a statement that the face may be used, in one of three ways:

option  `--i-may-use-this-face` on the command line
file    a text `consent.txt` beside every video, in the words of the person or their agent
prompt  the answer "yes" to a question on a terminal

The record travels with the data: dataset, checkpoint, and the `consent` entry of `avatar.json`.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .atomic import write_text
from .errors import InputError, UsageError

CONSENT_FILE = "consent.json"
"""Name of the record in a dataset."""

STATEMENT_FILE = "consent.txt"
"""Name of the statement beside a video."""

OPTION = "--i-may-use-this-face"
"""The option of the commands that read a video of a face."""

OPTION_HELP = (
    "The person in the video has agreed to an avatar of their face, or it is your own. "
    f"A {STATEMENT_FILE} beside the video says the same."
)
"""Help text of `OPTION`."""

STATEMENT = "The person in the video has agreed to an avatar of their face, or it is my own face."
"""What the option and the answer to the question state."""

METHODS = ("option", "file", "prompt")
"""Ways to state consent."""

MAX_STATEMENT_BYTES = 64 << 10
"""Largest `consent.txt` that is read."""

REFUSAL = re.compile(
    r"\b(?:not\s+agree|do\s+not|don['\u2019]?t|no\s+consent|refuse[sd]?|withdr[ae]w\w*)\b",
    re.IGNORECASE,
)
"""Words of a `consent.txt` that deny the agreement. A statement that agrees can do without them."""

Ask = Callable[[str], str]
"""Displays a question and returns the answer."""


@dataclass(frozen=True)
class Consent:
    """A statement that the face in some videos may be used.

    Raises:
        InputError: the way is none of `METHODS`, or there is no statement.
    """

    how: str
    """`option`, `file` or `prompt`."""
    user: str
    """Name of the account that ran the command."""
    time: str
    """When the statement was recorded, in UTC, as `2026-11-30T14:02:11Z`."""
    statement: str
    """The text of every `consent.txt`, else `STATEMENT`."""
    videos: tuple[str, ...] = ()
    """File names of the videos."""
    sha256: tuple[str, ...] = ()
    """SHA-256 of every `consent.txt`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "videos", tuple(self.videos))
        object.__setattr__(self, "sha256", tuple(self.sha256))
        if self.how not in METHODS:
            raise InputError(f"consent is stated by {', '.join(METHODS)}, got {self.how!r}")
        if not self.statement.strip():
            raise InputError("a consent needs a statement, got an empty text")

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON-ready values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    def line(self) -> str:
        """The record in one line, such as `stated by anna (option) at 2026-11-30T14:02:11Z`."""
        return f"stated by {self.user} ({self.how}) at {self.time}"


def require_consent(
    videos: Sequence[str | Path],
    flag: bool = False,
    *,
    earlier: Consent | None = None,
    ask: Ask | None = None,
) -> Consent:
    """Return the consent for the face in `videos`, or raise before anything is written.

    Args:
        videos: files with a face. A missing file is not an error here.
        flag: whether `OPTION` was passed.
        earlier: the record of the same work, as `read_consent` returns it: a question that was
            answered for these videos is not asked again.
        ask: displays a question and returns the answer; by default the terminal, where standard
            input and standard error are one, else none.

    Raises:
        UsageError: none of the three ways states consent, or a `consent.txt` is empty or denies
            it; exit code 2.
        InputError: a `consent.txt` is too long or not text.
    """
    paths = [Path(video) for video in videos]
    names = tuple(path.name for path in paths)
    if earlier is not None and set(names) <= set(earlier.videos):
        return earlier
    if flag:
        return _record("option", STATEMENT, names)
    files = sorted({path.resolve().parent / STATEMENT_FILE for path in paths})
    if files and all(file.is_file() for file in files):
        texts = [_statement(file) for file in files]
        sums = tuple(hashlib.sha256(text.encode()).hexdigest() for text in texts)
        return _record("file", "\n".join(text.strip() for text in texts), names, sums)
    ask = ask or _terminal()
    listing = ", ".join(names)
    if ask is not None:
        question = f"Has the person in {listing} agreed to an avatar of their face? [yes/no] "
        if ask(question).strip().lower() in ("y", "yes"):
            return _record("prompt", STATEMENT, names)
    raise UsageError(
        f"nothing states that the face in {listing} may be used: pass {OPTION} if the person has "
        f"agreed or it is your own, or write their agreement into {STATEMENT_FILE} beside the video"
    )


def record_consent(folder: str | Path, consent: Consent) -> Path:
    """Write `consent.json` into a folder and return its path.

    Raises:
        UsageError: it cannot be written.
    """
    path = Path(folder) / CONSENT_FILE
    write_text(path, json.dumps(consent.as_dict(), indent=2, ensure_ascii=False) + "\n")
    return path


def read_consent(folder: str | Path) -> Consent | None:
    """Read the record of a dataset, or of one of its videos; None where there is none.

    Args:
        folder: the dataset, or the folder of a video in it, whose parent is then searched, too.

    Raises:
        InputError: the file is not such a record.
    """
    place = Path(folder)
    for file in (place / CONSENT_FILE, place.resolve().parent / CONSENT_FILE):
        if file.is_file():
            try:
                return consent_of(json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError, InputError) as error:
                raise InputError(
                    f"{file} is not a record of consent ({error}); track the video again"
                ) from error
    return None


def consent_of(record: Mapping[str, Any]) -> Consent:
    """The consent of a record, as `Consent.as_dict` returns it.

    Raises:
        InputError: a value is missing or of another type.
    """
    if not isinstance(record, Mapping):
        raise InputError(f"expected a JSON object, got {type(record).__name__}")
    for name in ("how", "user", "time", "statement"):
        if not isinstance(record.get(name), str):
            raise InputError(f"{name} must be a text, got {record.get(name)!r}")
    for name in ("videos", "sha256"):
        values = record.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InputError(f"{name} must be a list of texts, got {values!r}")
    return Consent(
        **{name: record[name] for name in Consent.__dataclass_fields__ if name in record}
    )


def _record(
    how: str, statement: str, videos: tuple[str, ...], sums: tuple[str, ...] = ()
) -> Consent:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Consent(how, _user(), now, statement, videos, sums)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


def _statement(file: Path) -> str:
    """The text of a `consent.txt`."""
    advice = "write who agrees to an avatar of their face, as text"
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_STATEMENT_BYTES + 1)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); {advice}") from error
    if len(content) > MAX_STATEMENT_BYTES:
        raise InputError(f"{file} is longer than {MAX_STATEMENT_BYTES >> 10} kB; {advice}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error.reason}); {advice}") from error
    if not text.strip():
        raise UsageError(f"{file} is empty; {advice}")
    refusal = REFUSAL.search(text)
    if refusal is not None:
        words = " ".join(refusal[0].split())
        raise UsageError(
            f"{file} says {words!r}, which denies the agreement: do not use this face, or let the "
            "person state their agreement without these words"
        )
    return text


def _terminal() -> Ask | None:
    """A question on the terminal; None where no user can answer."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> str:
        print(question, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline()

    return ask
