"""Address: where the page is served, and by which names browsers may ask for it."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from imavatar_deploy.errors import UsageError

SCHEME = "http://"

LOOPBACK = ("127.0.0.1", "::1", "localhost")

EVERYWHERE = ("0.0.0.0", "::")


class Address(NamedTuple):
    """A host and a port to listen on; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{SCHEME}{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it."""
        return self.host.lower() in LOOPBACK

    def is_meant_by(self, authority: str) -> bool:
        """Whether the Host of a request is one of ours.

        A site elsewhere can let its own name point at this machine, and its pages would then be let in as if they came
        from here (DNS rebinding); so only the name that was given counts, this machine's own, and, where every address
        is listened on, bare addresses, which no such site can have. Ports are not compared: tunnels change them.
        """
        try:
            host = urlsplit(f"//{authority}").hostname or ""
        except ValueError:
            return False
        return host in (*LOOPBACK, self.host.lower()) or (
            self.host in EVERYWHERE and _is_bare(host)
        )


def read_address(target: str) -> Address:
    """From `http://HOST:PORT`; a host left out is loopback.

    Raises:
        UsageError: it is something else.
    """
    try:
        parts = urlsplit(target)
        host, port = parts.hostname or LOOPBACK[0], parts.port
    except ValueError:
        port = None
    if (
        port is None
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or parts.username is not None
    ):
        raise UsageError(
            f"a page is served at http://HOST:PORT, as in http://127.0.0.1:8080, got {target!r}"
        )
    return Address(host, port)


def _is_bare(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
