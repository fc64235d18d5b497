"""Read the few lines of an official run's `runconf.conf` that its tensors cannot tell."""

from __future__ import annotations

import re
from pathlib import Path

from imavatar_deploy.errors import InputError

FILE_NAME = "runconf.conf"

REFUSED = {"multires_view": "0", "use_freq_band": "False"}
"""Options that change what the same tensors mean, and the only value we reproduce."""


def read_runconf(file: Path) -> dict[str, str]:
    """Subject and method of the run that `file` (a `.pth` in the official layout) belongs to; empty without a conf.

    The conf is HOCON with two lines of git state appended, which HOCON readers refuse; looking for single
    `key = value` lines needs neither to be understood.

    Raises:
        InputError: the run used an option that changes the networks beyond their shapes.
    """
    for folder in list(file.resolve().parents)[:3]:
        conf = folder / FILE_NAME
        if conf.is_file():
            text = conf.read_text(encoding="utf-8", errors="replace")
            _refuse_variants(conf, text)
            found = {"subject": _value(text, "subject_name"), "method": _value(text, "methodname")}
            return {name: value for name, value in found.items() if value}
    return {}


def _refuse_variants(conf: Path, text: str) -> None:
    for key, wanted in REFUSED.items():
        value = _value(text, key)
        if value and value.lower() != wanted.lower():
            raise InputError(f"{conf} sets {key} = {value}; only runs with {key} = {wanted} can be read")


def _value(text: str, key: str) -> str:
    match = re.search(rf"^\s*{key}\s*[=:]\s*\"?([^\s\"#,]+)", text, re.MULTILINE)
    return match.group(1) if match else ""
