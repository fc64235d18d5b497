"""Coverage-guided fuzzing of every reader, by atheris (the extra `fuzz`).

    python -m tests.fuzz.run --list
    python -m tests.fuzz.run track.json --seconds 300
    python -m tests.fuzz.run all --runs 5000 --corpus /tmp/corpus
    python -m tests.fuzz.run track.npz --read crash-0f3a...

A reader may raise an `ImavatarError` of one line; everything else, warnings included, ends the run
with its traceback, and the content is written as a file `crash-...` into the folder of `--crashes`.
`--keep-going` prints each different traceback once instead. `--corpus` is a folder that grows by
contents of new coverage, so that a later run continues; its seeds are made where it is empty.

Run it in the root of a checkout.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed: pip install '.[fuzz]'")

INSTRUMENTED = ["imavatar_deploy"]

with atheris.instrument_imports(include=INSTRUMENTED):
    from imavatar_deploy.errors import ImavatarError

    from .mutators import MUTATORS
    from .targets import TARGETS, Read

ALL = "all"
LONGEST_CONTENT = 1 << 16
LONGEST_MESSAGE = 2000
"""Characters of an error: a sentence, which may list all formats, and excerpts of 120."""

LIMITS = ("-rss_limit_mb=3000", "-timeout=20")


class BadMessageError(AssertionError):
    """An error whose message is not one sentence of a sensible length."""


def checked(read: Read) -> Read:
    """A reader whose `ImavatarError`s are compared with the rules and pass."""

    def read_or_refuse(content: bytes) -> None:
        try:
            read(content)
        except ImavatarError as error:
            message = str(error)
            if "\n" in message or not message or len(message) > LONGEST_MESSAGE:
                raise BadMessageError(repr(message)) from error

    return read_or_refuse


class KeepGoing:
    """A reader that prints each different traceback once, with a file that shows it."""

    def __init__(self, place: Path, read: Read) -> None:
        self._place = place
        self._read = read
        self._known: set[str] = set()

    def __call__(self, content: bytes) -> None:
        try:
            self._read(content)
        except Exception as error:
            places = [
                f"{frame.filename}:{frame.lineno}"
                for frame in traceback.extract_tb(error.__traceback__)
            ]
            kind = f"{type(error).__name__} {places[-3:]}"
            if kind in self._known:
                return
            self._known.add(kind)
            digest = hashlib.sha256(content).hexdigest()[:12]
            file = self._place.with_name(f"{self._place.name}-{digest}")
            file.write_bytes(content)
            print(f"--- {file}\n{traceback.format_exc()}", flush=True)


def seeds(names: list[str], corpus: Path) -> None:
    """Write the valid contents of targets; of several each begins with its target's number."""
    for number, name in enumerate(names):
        with tempfile.TemporaryDirectory() as folder:
            for index, content in enumerate(TARGETS[name].seeds(Path(folder))):
                mark = bytes([number]) if len(names) > 1 else b""
                (corpus / f"seed-{name}-{index}").write_bytes(mark + content)


def functions(
    names: list[str], folder: Path, crashes: Path | None
) -> tuple[Callable[[bytes], None], Callable[[bytes, int, int], bytes]]:
    """The test function and the mutator of one target, or of several by the first byte.

    Args:
        names: keys of `TARGETS`.
        folder: an empty folder for the files that are read.
        crashes: where to write contents that fail, and to go on; None: end at the first.
    """
    reads: list[Read] = []
    for name in names:
        own = folder / name
        own.mkdir()
        with atheris.instrument_imports(include=INSTRUMENTED):
            read = checked(TARGETS[name].open(own))
        reads.append(KeepGoing(crashes / name, read) if crashes else read)
    several = len(names) > 1

    def test(content: bytes) -> None:
        if not several:
            reads[0](content)
        elif content:
            reads[content[0] % len(reads)](content[1:])

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        mark, rest = (content[:1], content[1:]) if several else (b"", content)
        kind = TARGETS[names[mark[0] % len(names) if mark else 0]].kind
        mutated = MUTATORS[kind](rest, most - 1, seed, atheris.Mutate)
        return mark + (mutated if len(mutated) < most else atheris.Mutate(rest, most - 1))

    return test, mutate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target", nargs="?", default=ALL, choices=[ALL, *TARGETS])
    parser.add_argument("--list", action="store_true", help="List the targets.")
    parser.add_argument("--seconds", type=int, default=60, help="Length of the run.")
    parser.add_argument("--runs", type=int, help="Number of executions, in place of --seconds.")
    parser.add_argument("--corpus", type=Path, help="Folder of contents; made where it is missing.")
    parser.add_argument("--read", type=Path, help="Read one file and end.")
    parser.add_argument("--keep-going", action="store_true", help="Do not end at a traceback.")
    parser.add_argument("--crashes", type=Path, default=Path(), help="Folder of failing contents.")
    options = parser.parse_args()
    if options.list:
        print("\n".join(TARGETS))
        return
    names = (
        [name for name, target in TARGETS.items() if not target.slow]
        if options.target == ALL
        else [options.target]
    )
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as scratch:
        options.crashes.mkdir(parents=True, exist_ok=True)
        crashes = options.crashes if options.keep_going else None
        test, mutate = functions(names, Path(scratch), crashes)
        if options.read:
            test(options.read.read_bytes())
            return
        corpus = options.corpus or Path(scratch) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        if not any(corpus.iterdir()):
            seeds(names, corpus)
        length = (
            f"-max_total_time={options.seconds}"
            if options.runs is None
            else f"-runs={options.runs}"
        )
        arguments = [
            *(sys.argv[0], *LIMITS, length, "-seed=1", "-verbosity=0", "-print_final_stats=1"),
            *(f"-max_len={LONGEST_CONTENT}", f"-artifact_prefix={options.crashes}/"),
        ]
        atheris.Setup([*arguments, str(corpus)], test, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
