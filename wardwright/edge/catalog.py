"""Models and their versions as operators handle them: `/admin/wardwright-models`."""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from wardwright.domain.errors import RequestError
from wardwright.edge.http import Receive, Scope, Send, read_json_body, send_json
from wardwright.runtime.catalog_desk import CatalogDesk

LARGEST_ARTIFACT = 1024 * 1024

T = TypeVar("T")


class PublishOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be said beside a publication: the version that must be the one answering so far."""

    instead_of: str | None = None


class CanaryOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of sessions that a canary shall have."""

    percent: Annotated[float, Meta(ge=0, le=100)]


class CatalogAdmin:
    """Protected endpoints below `/admin/wardwright-models`."""

    def __init__(self, desk: CatalogDesk, *, max_body_bytes: int) -> None:
        self._desk = desk
        self._max_body_bytes = max_body_bytes

    async def list(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/wardwright-models`."""
        await send_json(send, {"data": self._desk.models()})

    async def show(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/wardwright-models/{model}`."""
        await send_json(send, self._desk.model(_model(scope)))

    async def list_versions(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/wardwright-models/{model}/versions`."""
        await send_json(send, self._desk.versions(_model(scope)))

    async def show_version(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/wardwright-models/{model}/versions/{version}`."""
        await send_json(send, self._desk.version(_model(scope), scope["path_params"]["version"]))

    async def draft(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /admin/wardwright-models/{model}/drafts`: 201, or 200 when the version is there already."""
        artifact = _decoded(await self._body(scope, receive), dict[str, Any])
        summary, is_new = await self._desk.draft(_model(scope), artifact)
        await send_json(send, summary, status=201 if is_new else 200)

    async def publish(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST …/versions/{version}/publish`."""
        options = await self._options(scope, receive, PublishOptions)
        version = scope["path_params"]["version"]
        await send_json(send, await self._desk.publish(_model(scope), version, instead_of=options.instead_of))

    async def canary(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST …/versions/{version}/canary`."""
        options = await self._options(scope, receive, CanaryOptions)
        await send_json(
            send, await self._desk.set_canary(_model(scope), scope["path_params"]["version"], options.percent)
        )

    async def roll_back(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST …/rollback`, and `POST …/versions/{version}/rollback` to undo that version and no other."""
        await send_json(send, await self._desk.roll_back(_model(scope), scope["path_params"].get("version")))

    async def retire(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`DELETE /admin/wardwright-models/{model}`."""
        await send_json(send, await self._desk.retire(_model(scope)))

    async def _options(self, scope: Scope, receive: Receive, kind: type[T]) -> T:
        """What a request's body says; nothing says what an empty object does. Raises: RequestError."""
        return _decoded(await self._body(scope, receive) or b"{}", kind)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        return await read_json_body(scope, receive, limit=min(self._max_body_bytes, LARGEST_ARTIFACT))


def _model(scope: Scope) -> str:
    name: str = scope["path_params"]["model"]
    return name


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body is not what it must be: {error}") from error
