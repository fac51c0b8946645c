"""Addresses: the one a daemon listens on, `host:port` with an IPv6 host in brackets, and the URLs of those it asks."""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

_BIND = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})", re.ASCII)


class Address(msgspec.Struct, frozen=True):
    """Where to listen; port 0 lets the system choose one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address. A name other than `localhost` may resolve to anything."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_bind(text: str) -> Address | None:
    """Read `host:port`; None when it is not one. Purity: pure."""
    match = _BIND.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        return None
    if match["v6"] is not None:
        try:
            ipaddress.IPv6Address(match["v6"])
        except ValueError:
            return None
    return Address(host=match["v6"] or match["host"], port=int(match["port"]))


_EXAMPLES: Mapping[str, str] = {"http": "http://127.0.0.1:11434/v1", "nats": "nats://127.0.0.1:4222"}


def url_fault(url: str, secrets_in: str = "credential_env", schemes: tuple[str, ...] = ("http", "https")) -> str | None:
    """Say what is wrong with a URL, without repeating it: it may hold a secret, whose place is `secrets_in`."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or not url.isascii() or not url.isprintable() or " " in url:
        return f'such as "{_EXAMPLES[schemes[0]]}", got something else (not shown here)'
    if parts.username is not None or parts.password is not None:
        return f"without user name and password, which belong in {secrets_in}"
    if parts.query or parts.fragment:
        return "without a query or fragment"
    return None
