"""`POST /__test/config`: a model for tests with everything behind it, where the daemon was started to allow it."""

from typing import Any

import msgspec

from wardwright.config.inline_artifact import OLLAMA_URL, read_inline_artifact
from wardwright.domain.errors import RequestError
from wardwright.edge.catalog import LARGEST_ARTIFACT
from wardwright.edge.http import Receive, Scope, Send, read_json_body, send_json
from wardwright.runtime.catalog_desk import CatalogDesk


class InlineOptions(msgspec.Struct, frozen=True):
    """What a daemon allows tests to do, as its environment says at the start."""

    is_allowed: bool = False
    credentials_allowed: bool = False
    ollama_url: str = OLLAMA_URL


class InlineModels:
    """The endpoint. Where it is not allowed it is no route, so there is nothing to find, for nobody."""

    def __init__(self, desk: CatalogDesk, options: InlineOptions, *, max_body_bytes: int) -> None:
        self._desk = desk
        self._options = options
        self._max_body_bytes = max_body_bytes

    async def place(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Replace the model of that name, and no other."""
        body = await read_json_body(scope, receive, limit=min(self._max_body_bytes, LARGEST_ARTIFACT))
        try:
            tree = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError("request body must be a JSON object") from error
        options = self._options
        model = read_inline_artifact(
            tree, credentials_allowed=options.credentials_allowed, ollama_url=options.ollama_url
        )
        definition = await self._desk.place_inline(model)
        answer = {
            "status": "ok",
            "model_id": definition.id,
            "version": definition.version,
            "targets": [target.id for target in definition.targets],
        }
        await send_json(send, answer)
