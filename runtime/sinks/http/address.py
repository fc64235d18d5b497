"""Address of the page: host, port and token, and which requests are meant for it."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import parse_qs, quote, urlsplit

from imavatar_deploy.errors import UsageError, excerpt

SCHEME = "http://"

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")

WILDCARD_HOSTS = ("0.0.0.0", "::")

TOKEN_BYTES = 16
"""Random bytes of a token."""

SHORTEST_TOKEN = 16
"""Characters that a token of the user must have."""

EXPECTED = (
    "the address of a page must be http://HOST:PORT, as in http://127.0.0.1:8080, and may end in "
    "/?origin=http://HOST:PORT of a site that may follow the motion, or in /?token="
)


@dataclass(frozen=True)
class Address:
    """A host and a port to listen on, and who may request what is there; port 0 is any free one."""

    host: str
    port: int
    token: str = ""
    """Text that every request must carry; empty where none is needed."""
    origins: tuple[str, ...] = ()
    """Other sites whose pages may follow the motion."""

    def __str__(self) -> str:
        return f"{SCHEME}{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def link(self) -> str:
        """The address to open in a browser, with the token."""
        return f"{self}/?token={quote(self.token)}" if self.token else str(self)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host.lower() in LOOPBACK_HOSTS

    def protected(self) -> Address:
        """This address, beyond the loopback interface with a token: a new one where it has none."""
        if self.token or self.is_loopback:
            return self
        return replace(self, token=secrets.token_urlsafe(TOKEN_BYTES))

    def is_meant_by(self, authority: str) -> bool:
        """Whether the Host of a request is a name of this server.

        Another site can let its own name point at this machine, and its pages would then count as
        local (DNS rebinding). With a token every name is accepted, because such a site does not
        have it. Without one, only the name of this address, the loopback names, and, where the
        server listens at every address, numeric addresses, which no such site can have, are
        accepted. Ports are not compared: tunnels change them.
        """
        if self.token:
            return True
        try:
            host = urlsplit(f"//{authority}").hostname or ""
        except ValueError:
            return False
        return host in (*LOOPBACK_HOSTS, self.host.lower()) or (
            self.host in WILDCARD_HOSTS and _is_numeric(host)
        )

    def refusal(
        self, headers: Mapping[str, str], query: Mapping[str, str], *, follows: bool
    ) -> tuple[HTTPStatus, str] | None:
        """Return why a request is refused, as status and sentence; None where it is allowed.

        Browsers let pages of every site open WebSockets to any address, and state the site in the
        header Origin.

        Args:
            headers: of the request.
            query: parameters of its address.
            follows: whether it follows the motion, which pages of `origins` may do, too.
        """
        host = headers.get("Host", "")
        if not self.is_meant_by(host):
            return HTTPStatus.FORBIDDEN, (
                f"this page is served at its own address alone, {self}, not as "
                f"{excerpt(host)}; for other names, end the address of --sink in /?token= and "
                f"{SHORTEST_TOKEN} characters or more"
            )
        origin = headers.get("Origin")
        allowed = (None, f"{SCHEME}{host}", *(self.origins if follows else ()))
        if origin not in allowed:
            return HTTPStatus.FORBIDDEN, (
                "this page is served at its own address alone; to let another site follow the "
                "motion, end the address of --sink in /?origin= and that site"
            )
        if self.token and not self._has_token(headers, query):
            return HTTPStatus.UNAUTHORIZED, (
                "this page needs the token: open the link that the run has printed, or send the "
                "token in the header Authorization: Bearer"
            )
        return None

    def _has_token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        kind, _, bearer = headers.get("Authorization", "").partition(" ")
        tokens = (query.get("token", ""), bearer if kind.lower() == "bearer" else "")
        expected = self.token.encode()
        return any(
            hmac.compare_digest(token.encode("utf-8", "replace"), expected) for token in tokens
        )


def read_address(target: str) -> Address:
    """Read `http://HOST:PORT`, with `/?token=` and `/?origin=`; a missing host is loopback.

    Raises:
        UsageError: the text is no such address.
    """
    try:
        parts = urlsplit(target)
        host = parts.hostname or LOOPBACK_HOSTS[0]
        port = parts.port
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        port = None
    if (
        port is None
        or parts.path.strip("/")
        or parts.fragment
        or parts.username is not None
        or not options.keys() <= {"token", "origin"}
    ):
        raise UsageError(f"{EXPECTED}, got {target!r}")
    token = options.get("token", [""])[-1]
    if "token" in options and len(token) < SHORTEST_TOKEN:
        raise UsageError(
            f"the token of a page must have {SHORTEST_TOKEN} characters or more, got {len(token)}"
        )
    origins = tuple(origin.rstrip("/") for origin in options.get("origin", ()))
    for origin in origins:
        if not _is_origin(origin):
            raise UsageError(f"an origin must be http://HOST or https://HOST:PORT, got {origin!r}")
    return Address(host, port, token, origins)


def _is_origin(text: str) -> bool:
    parts = urlsplit(text)
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and text == f"{parts.scheme}://{parts.netloc}"
    )


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
