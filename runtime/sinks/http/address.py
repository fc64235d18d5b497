"""Address of the page: host and port to serve at, and the host names that requests may have."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from imavatar_deploy.errors import UsageError

SCHEME = "http://"

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")

WILDCARD_HOSTS = ("0.0.0.0", "::")


class Address(NamedTuple):
    """A host and a port to listen on; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{SCHEME}{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host.lower() in LOOPBACK_HOSTS

    def is_meant_by(self, authority: str) -> bool:
        """Whether the Host of a request is a name of this server.

        Another site can let its own name point at this machine, and its pages would then count as
        local (DNS rebinding). So only the name of this address, the loopback names, and, where the
        server listens at every address, numeric addresses, which no such site can have, are
        accepted. Ports are not compared: tunnels change them.
        """
        try:
            host = urlsplit(f"//{authority}").hostname or ""
        except ValueError:
            return False
        return host in (*LOOPBACK_HOSTS, self.host.lower()) or (
            self.host in WILDCARD_HOSTS and _is_numeric(host)
        )


def read_address(target: str) -> Address:
    """Read `http://HOST:PORT`; a missing host is loopback.

    Raises:
        UsageError: the text is no such address.
    """
    try:
        parts = urlsplit(target)
        host = parts.hostname or LOOPBACK_HOSTS[0]
        port = parts.port
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
            f"the address of a page must be http://HOST:PORT, as in http://127.0.0.1:8080, "
            f"got {target!r}"
        )
    return Address(host, port)


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
