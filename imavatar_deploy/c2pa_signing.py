"""C2paSigner: Content Credentials (C2PA) for finished videos and pictures, by c2pa-python.

The manifest states one action, `c2pa.created`, with the digital source type of
`imavatar_deploy.marking`. No time stamp is requested: signing needs no network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imavatar_deploy
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.marking import SOURCE_TYPE
from imavatar_deploy.optional import require

EXTRA = "c2pa"

MEDIA_TYPES = {
    ".avi": "video/avi",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".png": "image/png",
}
"""Suffix -> media type of the files that are signed."""

UNSIGNED = (".webm",)
"""Suffixes of files that C2PA has no form for."""

CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
"""Elliptic curve of a key -> C2PA's name of its algorithm."""


@dataclass(frozen=True)
class C2paSigner:
    """A certificate chain and its private key. See `open`."""

    certificates: bytes
    """PEM, the signer's own certificate first."""
    key: bytes
    """PEM."""
    algorithm: str
    """C2PA's name, such as `ES256`."""

    @classmethod
    def open(cls, certificates: str | Path, key: str | Path) -> C2paSigner:
        """Read a certificate chain and a private key, and try them.

        Args:
            certificates: PEM file with the signer's certificate and those above it, without the
                root.
            key: PEM file with the private key, without a password.

        Raises:
            MissingDependencyError: c2pa-python is not installed.
            InputError: a file cannot be read, or certificate and key cannot sign.
        """
        require("c2pa", extra=EXTRA)
        try:
            chain = Path(certificates).read_bytes()
            secret = Path(key).read_bytes()
        except OSError as error:
            raise InputError(
                f"{error.filename} cannot be read ({error.strerror}); expected a PEM file"
            ) from error
        signer = cls(chain, secret, _algorithm(secret, Path(key)))
        with signer._native(str(certificates)):
            return signer

    @staticmethod
    def ensure_signs(target: str) -> None:
        """Refuse an output that C2PA cannot sign, before long work begins.

        Raises:
            UsageError: the file is a WebM.
        """
        if Path(target).suffix.lower() in UNSIGNED:
            raise UsageError(
                f"{target} cannot be signed: C2PA has no form for {Path(target).suffix}; choose "
                f"{', '.join(MEDIA_TYPES)}, or leave out --c2pa-sign"
            )

    def sign(self, path: Path) -> None:
        """Sign a finished file in its place.

        Raises:
            InputError: the library refuses the certificate or the file.
            UsageError: the file is of none of `MEDIA_TYPES`.
        """
        media_type = MEDIA_TYPES.get(path.suffix.lower())
        if media_type is None:
            raise UsageError(f"{path.name} cannot be signed; expected {', '.join(MEDIA_TYPES)}")
        c2pa = require("c2pa", extra=EXTRA)
        signed = path.with_name(f"signed-{path.name}")
        settings = {"builder": {"thumbnail": {"enabled": False}}}
        try:
            with (
                self._native(path.name) as signer,
                c2pa.Context.from_dict(settings) as context,
                c2pa.Builder(json.dumps(manifest(path.name, media_type)), context) as builder,
            ):
                builder.sign_file(path, signed, signer)
            signed.replace(path)
        except c2pa.C2paError as error:
            raise InputError(
                f"{path.name} could not be signed ({error}); check the certificate of --c2pa-sign"
            ) from error
        finally:
            signed.unlink(missing_ok=True)

    def _native(self, name: str) -> Any:
        """The library's signer, a context manager."""
        c2pa = require("c2pa", extra=EXTRA)
        algorithm = c2pa.C2paSigningAlg[self.algorithm]
        try:
            info = c2pa.C2paSignerInfo(algorithm, self.certificates, self.key, None)
            return c2pa.Signer.from_info(info)
        except c2pa.C2paError as error:
            raise InputError(
                f"{name}: the certificate chain and the key cannot sign ({error}); expected PEM "
                "files of a certificate for C2PA, its own first, and its key"
            ) from error


def manifest(title: str, media_type: str) -> dict[str, Any]:
    """The C2PA manifest of a file, before it is signed."""
    return {
        "title": title,
        "format": media_type,
        "claim_generator_info": [
            {"name": "imavatar-deploy", "version": imavatar_deploy.__version__}
        ],
        "assertions": [
            {
                "label": "c2pa.actions",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}]},
            }
        ],
    }


def _algorithm(key: bytes, path: Path) -> str:
    """C2PA's name of the algorithm of a private key."""
    serialization = require("cryptography.hazmat.primitives.serialization", extra=EXTRA)
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a private key without a password in PEM ({error})"
        ) from error
    curve = getattr(getattr(private, "curve", None), "name", "")
    kind = type(private).__name__.lower()
    algorithm = CURVES.get(curve) or next(
        (name for word, name in (("rsa", "PS256"), ("ed25519", "ED25519")) if word in kind), None
    )
    if algorithm is None:
        raise InputError(f"{path} has a key that C2PA does not use; expected EC, RSA or Ed25519")
    return algorithm
