"""The address a daemon listens on: `host:port`, with an IPv6 host in brackets."""

import ipaddress
import re

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
