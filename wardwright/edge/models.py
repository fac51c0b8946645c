"""What a client may call: OpenAI's model list, and the same with Wardwright's own facts."""

from wardwright.domain.route import MODEL_PREFIX, ModelDefinition
from wardwright.edge.http import Receive, Scope, Send, send_json
from wardwright.runtime.gateway import Gateway


class Models:
    """`/v1/models` and `/v1/wardwright/models`, lists and single entries. Concrete targets are never shown."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def list_openai(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/models`: each callable model under its plain and its prefixed name."""
        entries = [
            _openai_entry(name) for model in self._gateway.models() for name in (model.id, f"{MODEL_PREFIX}{model.id}")
        ]
        await send_json(send, {"object": "list", "data": entries})

    async def show_openai(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/models/{id}`."""
        name = scope["path_params"]["model"]
        self._gateway.model(name)
        await send_json(send, _openai_entry(name))

    async def list_own(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/wardwright/models`."""
        await send_json(send, {"data": [_own_entry(model) for model in self._gateway.models()]})

    async def show_own(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/wardwright/models/{id}`."""
        await send_json(send, _own_entry(self._gateway.model(scope["path_params"]["model"])))


def _openai_entry(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "wardwright"}


def _own_entry(model: ModelDefinition) -> dict[str, object]:
    root = next((selector for selector in model.selectors if selector.id == model.root), None)
    return {
        "id": model.id,
        "public_model_id": f"{MODEL_PREFIX}{model.id}",
        "active_version": model.version,
        "description": model.description,
        "route_type": "target" if root is None else type(root).__name__.lower(),
        "status": "active",
    }
