"""The operator's view: the supervision tree, single actors, providers, storage, metrics; and the kill lever."""

from wardwright.edge.http import Receive, Scope, Send, send_body, send_json
from wardwright.runtime.admin import RuntimeView
from wardwright.runtime.gateway import Gateway
from wardwright.runtime.metrics import Metrics


class Admin:
    """Protected endpoints below `/admin`, and `/metrics`."""

    def __init__(self, gateway: Gateway, view: RuntimeView, metrics: Metrics) -> None:
        self._gateway = gateway
        self._view = view
        self._metrics = metrics

    async def runtime(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/runtime`: the whole tree with every actor's facts."""
        await send_json(send, self._view.runtime())

    async def actor(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/runtime/actors/{path}`: one actor, its state as it shows itself."""
        await send_json(send, self._view.actor(scope["path_params"]["path"]))

    async def kill(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /admin/runtime/actors/{path}/kill`: the chaos lever."""
        await send_json(send, self._view.kill(scope["path_params"]["path"]), status=202)

    async def providers(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/providers`."""
        await send_json(send, {"data": self._view.providers()})

    async def storage(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /admin/storage`."""
        await send_json(send, self._view.storage(await self._gateway.storage_health()))

    async def metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /metrics` in Prometheus's text format."""
        await send_body(send, 200, self._metrics.render(), content_type=self._metrics.content_type)
