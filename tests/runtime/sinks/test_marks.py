"""Marks of sinks, read back by other readers than those that wrote them; C2PA signatures."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.marking import COMMENT, HTTP_HEADER, SOURCE_TYPE, STATEMENT, XMP
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.sinks import Stream, open_sink

SIDE = 32
IMAGE = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 4), dtype=np.uint8)


def draw(target: Path, stream: Stream, count: int = 3) -> None:
    with open_sink(str(target), stream) as sink:
        for _ in range(count):
            sink.write(IMAGE)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every chunk of a PNG, its checksum checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + content)
        yield kind, content
        at += 12 + length


def mp4_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every top-level box of an MP4."""
    at = 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        assert 8 <= length <= len(data) - at
        yield kind, data[at + 8 : at + length]
        at += length


def source_type(xmp: bytes) -> str:
    """IPTC's digital source type of an XMP packet."""
    tree = ElementTree.fromstring(xmp.decode())
    tag = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    return next(tree.iter(tag)).text or ""


def xmp_of_png(data: bytes) -> list[bytes]:
    found = []
    for kind, content in png_chunks(data):
        keyword, _, rest = content.partition(b"\0")
        if kind == b"iTXt" and keyword == b"XML:com.adobe.xmp":
            flags, language, translated, text = rest[:2], *rest[2:].split(b"\0", 2)
            assert (flags, language, translated) == (b"\0\0", b"", b"")
            found.append(text)
    return found


@pytest.mark.parametrize("name", ["frame.png", "frames/%05d.png"])
@pytest.mark.parametrize("on", [True, False])
def test_pictures(tmp_path: Path, name: str, on: bool) -> None:
    draw(tmp_path / name, Stream(SIDE, SIDE, 25, synthetic_mark=on), count=1)
    path = next(tmp_path.rglob("*.png"))
    data = path.read_bytes()
    assert [source_type(xmp) for xmp in xmp_of_png(data)] == [SOURCE_TYPE] * on
    comments = [content for kind, content in png_chunks(data) if kind == b"tEXt"]
    assert comments == [b"Comment\0" + COMMENT.encode()] * on
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA)[..., 3], IMAGE[..., 3])


@pytest.mark.parametrize("on", [True, False])
def test_videos(tmp_path: Path, on: bool) -> None:
    path = tmp_path / "talk.mp4"
    draw(path, Stream(SIDE, SIDE, 25, synthetic_mark=on))
    with av.open(str(path)) as container:
        assert container.metadata.get("comment") == (COMMENT if on else None)
        assert len(list(container.decode(video=0))) == 3
    boxes = [content for kind, content in mp4_boxes(path.read_bytes()) if kind == b"uuid"]
    assert [content[:16].hex() for content in boxes] == ["be7acfcb97a942e89c71999491e3afac"] * on
    assert [source_type(content[16:]) for content in boxes] == [SOURCE_TYPE] * on


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("suffix", [".webm", ".mov", ".avi"])
def test_other_videos(tmp_path: Path, suffix: str, on: bool) -> None:
    path = tmp_path / f"talk{suffix}"
    draw(path, Stream(SIDE, SIDE, 25, synthetic_mark=on))
    with av.open(str(path)) as container:
        names = {name.lower(): value for name, value in container.metadata.items()}
        assert names.get("comment") == (COMMENT if on else None)
    if suffix == ".mov":
        boxes = [content for kind, content in mp4_boxes(path.read_bytes()) if kind == b"uuid"]
        assert [source_type(content[16:]) for content in boxes] == [SOURCE_TYPE] * on


@pytest.mark.parametrize("on", [True, False])
def test_gif(tmp_path: Path, on: bool) -> None:
    path = tmp_path / "talk.gif"
    draw(path, Stream(SIDE, SIDE, 25, synthetic_mark=on))
    extensions = dict(gif_extensions(path.read_bytes()))
    assert extensions.get(b"comment") == (COMMENT.encode() if on else None)
    # readers of XMP take it from the file in one piece: it is not in sub-blocks
    parts = path.read_bytes().split(b"XMP DataXMP")[1:]
    packets = [part.partition(b"\x01\xff\xfe")[0] for part in parts]
    assert [source_type(xmp) for xmp in packets] == [SOURCE_TYPE] * on
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 3


def gif_extensions(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Comment and application extensions of a GIF; every block of the file is read."""
    assert data[:6] == b"GIF89a"

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    at = 13 + table(data[10])
    while data[at] != 0x3B:
        kind = data[at + 1]
        extension = data[at] == 0x21
        assert extension or data[at] == 0x2C
        at += 2 if extension else 11 + table(data[at + 9])
        blocks = []
        while data[at]:
            blocks.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
        at += 1
        if extension and kind == 0xFE:
            yield b"comment", b"".join(blocks)
        elif extension and kind == 0xFF:
            yield blocks[0], b"".join(blocks[1:])
    assert at == len(data) - 1


@pytest.mark.parametrize("on", [True, False])
def test_jpegs(tmp_path: Path, on: bool) -> None:
    draw(tmp_path / "%d.jpg", Stream(SIDE, SIDE, 25, synthetic_mark=on), count=1)
    xmp = [
        content.partition(b"\0")[2]
        for marker, content in jpeg_segments((tmp_path / "1.jpg").read_bytes())
        if marker == 0xE1
    ]
    assert [source_type(packet) for packet in xmp] == [SOURCE_TYPE] * on


def test_marks_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "a.png", "b.png"):
        draw(tmp_path / name, Stream(SIDE, SIDE, 25))
    for suffix in (".mp4", ".png"):
        first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
        assert first == second


def get(port: int, path: str) -> tuple[dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("on", [True, False])
def test_page_and_its_pictures(on: bool) -> None:
    stream = Stream(SIDE, SIDE, 25, synthetic_mark=on)
    with open_sink("http://127.0.0.1:0", stream) as sink:
        sink.write(IMAGE)
        port = int(sink.greeting.split("127.0.0.1:")[1].split("/")[0].split()[0].rstrip(",;."))
        headers, page = get(port, "/")
        assert headers.get(HTTP_HEADER) == (SOURCE_TYPE if on else None)
        meta = b'<meta name="digitalSourceType" content="trainedAlgorithmicMedia">'
        assert (meta in page) is on
        assert bool(xmp_of_png(get(port, "/frame.png")[1])) is on
        jpeg = get(port, "/frame.jpg")[1]
    segments = jpeg_segments(jpeg)
    assert segments[0][0] == 0xE0, "JFIF's segment is the first"
    xmp = [
        content.partition(b"\0")[2]
        for marker, content in segments
        if marker == 0xE1 and content.startswith(b"http://ns.adobe.com/xap/1.0/\0")
    ]
    assert [source_type(packet) for packet in xmp] == [SOURCE_TYPE] * on
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (SIDE, SIDE, 3)


def jpeg_segments(data: bytes) -> list[tuple[int, bytes]]:
    """Segments of a JPEG up to the beginning of the scan."""
    assert data[:2] == b"\xff\xd8"
    segments = []
    at = 2
    while data[at + 1] != 0xDA:
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        segments.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    return segments


def test_xmp_is_a_packet() -> None:
    assert source_type(XMP) == SOURCE_TYPE
    assert STATEMENT.encode() in XMP


def play(folder: Path, *options: object) -> Result:
    sinks = [flag for name in ("a.mp4", "a.png") for flag in ("--sink", folder / name)]
    arguments = ["sample", "--frames", "0:3", "--size", "32", *sinks, *options]
    return CliRunner().invoke(run, [str(argument) for argument in arguments])


@pytest.mark.parametrize("on", [True, False])
def test_option_of_imavatar_run(tmp_path: Path, on: bool) -> None:
    result = play(tmp_path, *([] if on else ["--no-synthetic-mark"]))
    assert result.exit_code == 0, result.output
    assert (STATEMENT.encode() in (tmp_path / "a.mp4").read_bytes()) is on
    assert (STATEMENT.encode() in (tmp_path / "a.png").read_bytes()) is on


# C2PA


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for signing documents under a root of its own, and its key."""
    pytest.importorskip("c2pa", reason="c2pa-python is not installed")
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def build(
        name: str, key: Any, issuer: str, issuer_key: Any, extensions: list[tuple[Any, bool]]
    ) -> Any:
        attributes = x509.oid.NameOID
        names = [
            x509.Name(
                [
                    x509.NameAttribute(attributes.ORGANIZATION_NAME, "Test"),
                    x509.NameAttribute(attributes.COMMON_NAME, common),
                ]
            )
            for common in (name, issuer)
        ]
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[0])
            .issuer_name(names[1])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        for extension, critical in [*extensions, (own, False), (above, False)]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    signs_certificates = x509.KeyUsage(**(usage | {"key_cert_sign": True, "crl_sign": True}))
    signs = x509.KeyUsage(**(usage | {"digital_signature": True}))
    purpose = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
    root = build(
        "Root",
        root_key,
        "Root",
        root_key,
        [(x509.BasicConstraints(ca=True, path_length=None), True), (signs_certificates, True)],
    )
    leaf = build(
        "Signer",
        key,
        "Root",
        root_key,
        [(x509.BasicConstraints(ca=False, path_length=None), True), (signs, True), (purpose, True)],
    )
    folder = tmp_path_factory.mktemp("certificate")
    pem = serialization.Encoding.PEM
    (folder / "chain.pem").write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "chain.pem", folder / "key.pem"


def test_signed_files_have_valid_credentials(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    import c2pa

    result = play(tmp_path, "--c2pa-sign", *certificate)
    assert result.exit_code == 0, result.output
    for name in ("a.mp4", "a.png"):
        with c2pa.Reader(str(tmp_path / name)) as reader:
            store = json.loads(reader.json())
        active = store["manifests"][store["active_manifest"]]
        actions = next(row for row in active["assertions"] if "actions" in row["label"])
        assert [action["digitalSourceType"] for action in actions["data"]["actions"]] == [
            SOURCE_TYPE
        ]
        problems = {row["code"] for row in store.get("validation_status", [])}
        assert problems <= {"signingCredential.untrusted"}, "the root of the test is not known"
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["comment"] == COMMENT
        assert len(list(container.decode(video=0))) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.png"]


@pytest.mark.parametrize("name", ["b.mov", "b.avi", "b.gif", "%d.jpg"])
def test_other_kinds_are_signed(name: str, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    import c2pa

    result = play(tmp_path, "--sink", tmp_path / name, "--c2pa-sign", *certificate)
    assert result.exit_code == 0, result.output
    with c2pa.Reader(str(tmp_path / name.replace("%d", "1"))) as reader:
        problems = {row["code"] for row in json.loads(reader.json()).get("validation_status", [])}
    assert problems <= {"signingCredential.untrusted"}
    if not name.endswith("jpg"):
        with av.open(str(tmp_path / name)) as container:
            assert len(list(container.decode(video=0))) == 3


def test_webm_cannot_be_signed(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    result = play(tmp_path, "--sink", tmp_path / "b.webm", "--c2pa-sign", *certificate)
    assert result.exit_code == UsageError.exit_code
    assert "b.webm cannot be signed: C2PA has no form for .webm; choose" in result.stderr
    assert not list(tmp_path.iterdir())


def test_changed_file_is_discovered(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    import c2pa

    assert play(tmp_path, "--c2pa-sign", *certificate).exit_code == 0
    data = bytearray((tmp_path / "a.png").read_bytes())
    at = data.index(b"Synthetic media")
    data[at] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with c2pa.Reader(str(tmp_path / "a.png")) as reader:
        codes = {row["code"] for row in json.loads(reader.json())["validation_status"]}
    assert "assertion.dataHash.mismatch" in codes


def test_key_that_does_not_fit_is_told(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    result = play(tmp_path, "--c2pa-sign", certificate[0], certificate[0])
    assert result.exit_code == InputError.exit_code
    assert "is not a private key" in result.stderr
    assert not list(tmp_path.iterdir())


def test_file_that_is_no_certificate_is_told(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    result = play(tmp_path, "--c2pa-sign", certificate[1], certificate[1])
    assert result.exit_code == InputError.exit_code, result.output
    assert "cannot sign" in result.stderr or "could not be signed" in result.stderr
    assert not list(tmp_path.iterdir())
