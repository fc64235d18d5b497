"""Consent: the three ways to state it, its refusal, and its way into checkpoint and manifest."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import pytest

from imavatar_deploy.consent import (
    CONSENT_FILE,
    OPTION,
    STATEMENT,
    Consent,
    consent_of,
    read_consent,
    record_consent,
    require_consent,
)
from imavatar_deploy.errors import InputError, UsageError

TEXT = "I, Anna Exämple, agree to an avatar of my face.\n"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "me.mp4"
    path.write_bytes(b"")
    return path


def test_option_states_consent(video: Path) -> None:
    consent = require_consent([video], True)
    assert (consent.how, consent.statement, consent.videos) == ("option", STATEMENT, ("me.mp4",))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", consent.time)
    assert consent.user
    assert consent.sha256 == ()


def test_file_beside_the_video_states_consent(video: Path) -> None:
    file = video.with_name("consent.txt")
    file.write_bytes(TEXT.encode())
    consent = require_consent([video])
    assert (consent.how, consent.statement) == ("file", TEXT.strip())
    assert consent.sha256 == (hashlib.sha256(file.read_bytes()).hexdigest(),)


def test_file_must_lie_beside_every_video(video: Path, tmp_path: Path) -> None:
    video.with_name("consent.txt").write_text(TEXT)
    other = tmp_path / "other" / "you.mp4"
    other.parent.mkdir()
    with pytest.raises(UsageError, match=r"me\.mp4, you\.mp4"):
        require_consent([video, other])
    other.with_name("consent.txt").write_text("And I.")
    consent = require_consent([video, other])
    assert len(consent.sha256) == 2
    assert "Anna" in consent.statement
    assert "And I." in consent.statement


@pytest.mark.parametrize("answer", ["yes\n", " Y "])
def test_answer_yes_states_consent(video: Path, answer: str) -> None:
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return answer

    assert require_consent([video], ask=ask).how == "prompt"
    assert "me.mp4" in questions[0]


@pytest.mark.parametrize("answer", ["", "no\n", "yesterday"])
def test_any_other_answer_is_a_refusal(video: Path, answer: str) -> None:
    with pytest.raises(UsageError, match=OPTION):
        require_consent([video], ask=lambda question: answer)


def test_no_statement_is_one_sentence_of_usage(
    video: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError) as refusal:
        require_consent([video])
    message = str(refusal.value)
    assert refusal.value.exit_code == 2
    assert "consent.txt" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == [video]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a" * (65 << 10), "longer than 64 kB"),
    ],
)
def test_useless_statement_is_refused(video: Path, content: bytes, message: str) -> None:
    video.with_name("consent.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        require_consent([video])


def test_empty_statement_is_no_consent(video: Path) -> None:
    video.with_name("consent.txt").write_bytes(b" \n")
    with pytest.raises(UsageError, match="is empty"):
        require_consent([video])


def test_folder_in_place_of_the_statement_is_no_consent(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    video.with_name("consent.txt").mkdir()
    with pytest.raises(UsageError, match=OPTION):
        require_consent([video])


@pytest.mark.parametrize(
    "text",
    [
        "I do NOT agree to an avatar of my face.",
        "I cannot say yes; I do\nnot want this.",
        "I don\u2019t want an avatar.",
        "There is no consent.",
        "Anna refuses.",
        "I withdraw my agreement.",
    ],
)
def test_statement_that_denies_consent_is_refused(video: Path, text: str) -> None:
    video.with_name("consent.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="denies the agreement") as refusal:
        require_consent([video])
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)


def test_record_is_read_back(tmp_path: Path) -> None:
    consent = Consent("file", "anna", "2026-11-30T14:00:00Z", TEXT, ("me.mp4",), ("ab" * 32,))
    record_consent(tmp_path, consent)
    assert read_consent(tmp_path) == consent
    (tmp_path / "clip").mkdir()
    assert read_consent(tmp_path / "clip") == consent
    assert consent_of(json.loads(json.dumps(consent.as_dict()))) == consent


def test_missing_record_is_none(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    assert read_consent(tmp_path / "clip") is None


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"how": "rumour", "user": "a", "time": "t", "statement": "s"}',
        '{"how": "file", "user": "a", "time": "t", "statement": "s", "videos": "me.mp4"}',
    ],
)
def test_damaged_record_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / CONSENT_FILE).write_text(content)
    with pytest.raises(InputError, match="is not a record of consent"):
        read_consent(tmp_path)


def test_earlier_statement_holds_for_its_videos(video: Path) -> None:
    earlier = require_consent([video], True)
    assert require_consent([video], earlier=earlier) is earlier
    with pytest.raises(UsageError):
        require_consent([video, "other.mp4"], earlier=earlier, ask=lambda question: "no")
