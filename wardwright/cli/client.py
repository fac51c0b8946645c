"""A running daemon, as commands ask it: where it is, how to show that one may ask, and what its refusals mean."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import typer

from wardwright.config.address import parse_bind
from wardwright.config.load import find_config, load_config
from wardwright.config.problems import ConfigError
from wardwright.config.settings import ServerSettings, Settings
from wardwright.domain.errors import WardwrightError

_CONNECT_S, _PATIENCE_S = 5.0, 30.0
_TIMEOUT = httpx2.Timeout(_PATIENCE_S, connect=_CONNECT_S)
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound


class CommandFailed(WardwrightError):
    """A command could not do what it was asked to; the message says why and what to do about it."""


class NoAnswer(CommandFailed):
    """Nothing at the daemon's address answers."""


class DaemonAddress(msgspec.Struct, frozen=True):
    """Where a daemon is asked, and with which token. `is_named`: somebody named this one, and none other will do."""

    url: str
    token: str | None
    token_variable: str
    is_named: bool


class Daemon:
    """A daemon behind an HTTP client."""

    def __init__(self, address: DaemonAddress, client: httpx2.Client) -> None:
        self._address = address
        self._client = client

    def get(self, path: str, parameters: Mapping[str, str] | None = None, *, holding: str) -> dict[str, Any]:
        """What the daemon answers to a read, as decoded JSON. `holding` is a field without which it is no daemon's answer.

        Raises: NoAnswer, CommandFailed.
        """
        return self._ask("GET", path, holding, params=parameters)

    def post(self, path: str, body: object = None, *, holding: str, patience_s: float = _PATIENCE_S) -> dict[str, Any]:
        """What the daemon answers to a command, with a JSON body or without one, within so many seconds; see `get`."""
        timeout = httpx2.Timeout(patience_s, connect=_CONNECT_S)
        return self._ask("POST", path, holding, timeout=timeout, **({} if body is None else {"json": body}))

    def delete(self, path: str, *, holding: str) -> dict[str, Any]:
        """What the daemon answers to the removal of something; see `get`."""
        return self._ask("DELETE", path, holding)

    def _ask(self, method: str, path: str, holding: str, **request: Any) -> dict[str, Any]:
        url = self._address.url
        try:
            answer = self._client.request(method, path, **request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise NoAnswer(f"no daemon answers at {url}; start one with `wardwright serve`") from error
        except httpx2.TransportError as error:
            raise NoAnswer(f"the daemon at {url} did not answer: {str(error) or type(error).__name__}") from error
        told = _decoded(answer.content)
        if answer.is_success and holding in told:
            return told
        raise CommandFailed(self._refusal(answer.status_code, told.get("error")))

    def _refusal(self, status: int, error: Any) -> str:
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):
            return f"what answers at {self._address.url} is not a Wardwright daemon (HTTP {status})"
        hint = ""
        if error.get("code") == "protected_endpoint":
            presented = "does not hold it" if self._address.token else "is not set"
            hint = f"; this command takes the admin token from {self._address.token_variable}, which {presented}"
        return f"{error['message']} ({error.get('code')}){hint}"


@contextmanager
def connect(address: DaemonAddress) -> Iterator[Daemon]:
    """A daemon to ask. Nothing is sent before the first question."""
    headers = {"authorization": f"Bearer {address.token}"} if address.token else {}
    try:
        # Asked directly: a proxy between a command and its own daemon would only get in the way.
        client = httpx2.Client(base_url=address.url, headers=headers, timeout=_TIMEOUT, trust_env=False)
    except httpx2.InvalidURL as error:
        raise _wrong_url(address.url) from error
    with client:
        if client.base_url.scheme not in ("http", "https") or not client.base_url.host:
            raise _wrong_url(address.url)
        yield Daemon(address, client)


@contextmanager
def connect_by(config: Path | None, url: str | None) -> Iterator[Daemon]:
    """The daemon that the common options lead to. Raises: ConfigError."""
    with connect(daemon_address(url, settings_of(config, url))) as daemon:
        yield daemon


def settings_of(config: Path | None, url: str | None) -> Settings:
    """The settings a command goes by; with a daemon named by URL a configuration that does not load is no hindrance."""
    try:
        return load_config(find_config(config, os.environ, Path.cwd()), os.environ).settings
    except ConfigError:
        if url is None or config is not None:
            raise
        return Settings()


def daemon_address(url: str | None, settings: Settings) -> DaemonAddress:
    """Where to ask: at the URL, else where the configuration binds."""
    variable = settings.server.admin_token_env
    return DaemonAddress(
        url=url.rstrip("/") if url else _url_of(settings.server),
        token=os.environ.get(variable) or None,
        token_variable=variable,
        is_named=url is not None,
    )


def actor_path(path: str) -> str:
    """Where the admin surface shows an actor. Names of actors may hold percent signs of their own."""
    return f"/admin/runtime/actors/{quote(path.strip('/'))}"


def _url_of(server: ServerSettings) -> str:
    bind = parse_bind(server.bind)
    if bind is None:
        raise CommandFailed(
            f"[server] bind is {server.bind!r}, which is no address to ask a daemon at; name one by --url"
        )
    host = _EVERYWHERE.get(bind.host, bind.host)
    return f"http://[{host}]:{bind.port}" if ":" in host else f"http://{host}:{bind.port}"


def _decoded(content: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty when it is anything else."""
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _wrong_url(url: str) -> typer.BadParameter:
    return typer.BadParameter(f"{url!r} is not an http or https URL", param_hint="--url")
