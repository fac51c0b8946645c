"""Protection of everything that is not serving (contract, section 2).

Without an admin token only this machine may ask: the socket's peer must be a loopback address (a forwarded header proves nothing)
and `Host` and `Origin` must name a loopback host, so that a page of another site that a local browser shows cannot reach in. With a
token configured it is required from everywhere, loopback included.
"""

import hmac
import ipaddress
from urllib.parse import urlsplit

from wardwright.domain.errors import Forbidden
from wardwright.edge.http import Endpoint, Receive, Scope, Send, header


class AdminGuard:
    """Decides whether a request may use a protected endpoint."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    def check(self, scope: Scope) -> None:
        """Raises: Forbidden (`protected_endpoint`) with what to do about it."""
        if self._token is not None:
            if not hmac.compare_digest(_presented_token(scope).encode("latin-1"), self._token):
                raise _refused("this endpoint needs the admin token, as a bearer token or in x-wardwright-admin-token")
            return
        client = scope.get("client")
        if client is None or not _is_loopback_address(client[0]):
            raise _refused("this endpoint only answers this machine; configure an admin token to use it from elsewhere")
        host, origin = header(scope, b"host"), header(scope, b"origin")
        if host is not None and not _is_loopback_host(f"//{host}"):
            raise _refused(
                "this endpoint only answers requests whose Host names this machine (localhost, 127.0.0.1, [::1])"
            )
        if origin is not None and not _is_loopback_host(origin):
            raise _refused("this endpoint does not answer pages of other sites")

    def protect(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, behind the check."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            self.check(scope)
            await endpoint(scope, receive, send)

        return guarded


def _presented_token(scope: Scope) -> str:
    own = header(scope, b"x-wardwright-admin-token")
    if own is not None:
        return own
    scheme, _, value = (header(scope, b"authorization") or "").partition(" ")
    return value.strip(" \t") if scheme.lower() == "bearer" else ""


def _is_loopback_address(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _is_loopback_host(url: str) -> bool:
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return False
    return name is not None and (name == "localhost" or _is_loopback_address(name))


def _refused(message: str) -> Forbidden:
    return Forbidden(message, "protected_endpoint")
