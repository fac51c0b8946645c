"""What is sent: a URL taken apart once, and the bytes of a request."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

_KEPT_IN_PATH = "%/?:@!$&'()*+,;=-._~[]"


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    is_secure: bool

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"


class Endpoint(NamedTuple):
    """A URL, ready to be asked. `opening` is what follows the method in every request to it."""

    origin: Origin
    opening: str


def parse_endpoint(url: str) -> Endpoint:
    """Take a URL apart.

    Raises: ValueError for one that is not plain http or https, or names no host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a provider's URL must begin with http:// or https:// and name a host")
    is_secure = parts.scheme == "https"
    usual_port = 443 if is_secure else 80
    host = parts.hostname.encode("idna").decode("ascii")
    origin = Origin(host, parts.port or usual_port, is_secure)
    authority = _bracketed(host) if origin.port == usual_port else str(origin)
    target = quote(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/", safe=_KEPT_IN_PATH)
    return Endpoint(origin, f" {target} HTTP/1.1\r\nhost: {authority}\r\naccept-encoding: identity\r\n")


def render_request(method: str, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> bytes:
    """Head and body in one piece, to leave in one write.

    Raises: ValueError for a header value that could not be sent as it is: anything but printable ASCII.
    """
    if not "".join(headers.values()).isprintable():
        raise ValueError("a header value holds control characters")
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    length = f"content-length: {len(body)}\r\n" if body or method != "GET" else ""
    return f"{method}{endpoint.opening}{fields}{length}\r\n".encode("ascii") + body


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
