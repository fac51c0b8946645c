"""The whole HTTP surface on one page: routes, who may use them, and the outermost error boundary."""

from collections.abc import Awaitable

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route, Router

from wardwright.domain.errors import InternalError, WardwrightError
from wardwright.edge.admin import Admin
from wardwright.edge.auth import AdminGuard
from wardwright.edge.catalog import CatalogAdmin
from wardwright.edge.chat import ChatCompletions
from wardwright.edge.decisions import Decisions
from wardwright.edge.erasure import Erasure
from wardwright.edge.errors import error_answer, error_facts, http_error_answer
from wardwright.edge.events import Events
from wardwright.edge.health import Health
from wardwright.edge.http import ClientGone, Endpoint, Message, Receive, Scope, Send, send_error
from wardwright.edge.inline import InlineModels, InlineOptions
from wardwright.edge.keys import ApiKeys
from wardwright.edge.models import Models
from wardwright.edge.pings import Pings
from wardwright.edge.receipts import Receipts
from wardwright.edge.sinks import Sinks
from wardwright.runtime.admin import RuntimeView
from wardwright.runtime.catalog_desk import CatalogDesk
from wardwright.runtime.decision_desk import DecisionDesk
from wardwright.runtime.event_desk import EventDesk
from wardwright.runtime.gateway import Gateway
from wardwright.runtime.identity import mint_request_id
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.sink_desk import SinkDesk

_log = structlog.get_logger("wardwright.edge")


class EdgeOptions(msgspec.Struct, frozen=True):
    """What the edge is told about itself. With an `admin_token` protected endpoints want to be shown it.

    No stream is silent for longer than `ping_s`; 0 lets it be.
    """

    admin_token: str | None
    max_body_bytes: int
    ping_s: float = 0.0
    inline: InlineOptions = InlineOptions()


def build_app(
    gateway: Gateway,
    view: RuntimeView,
    catalog: CatalogDesk,
    decisions: DecisionDesk,
    events: EventDesk,
    sinks: SinkDesk,
    metrics: Metrics,
    *,
    options: EdgeOptions,
) -> "ErrorBoundary":
    """The ASGI application of one daemon, for a server that adds `CLIENT` to the scope."""
    protect, max_body_bytes = AdminGuard(options.admin_token).protect, options.max_body_bytes
    models, receipts, health = Models(gateway), Receipts(gateway), Health(gateway)
    admin, versions = Admin(gateway, view, metrics), CatalogAdmin(catalog, max_body_bytes=max_body_bytes)
    sent_on = Sinks(sinks, max_body_bytes=max_body_bytes)
    keys = ApiKeys(gateway.keys, max_body_bytes=max_body_bytes)
    erasure = Erasure(gateway.erasures, max_body_bytes=max_body_bytes)
    decided = Decisions(gateway, decisions, max_body_bytes=max_body_bytes)
    pings = Pings(options.ping_s)
    chat = ChatCompletions(gateway, pings, max_body_bytes=max_body_bytes)
    routes: list[BaseRoute] = [
        _route("POST", "/v1/chat/completions", chat),
        _route("GET", "/v1/models", models.list_openai),
        _route("GET", "/v1/models/{model:path}", models.show_openai),
        _route("GET", "/v1/wardwright/models", models.list_own),
        _route("GET", "/v1/wardwright/models/{model:path}", models.show_own),
        _route("POST", "/v1/wardwright/simulate", protect(decided.simulate)),
        _route("GET", "/v1/receipts", protect(receipts.list)),
        _route("GET", "/v1/receipts/{receipt_id}", protect(receipts.show)),
        _route("POST", "/v1/receipts/{receipt_id}/replay", protect(decided.replay)),
        _route("GET", "/v1/runs/{run_id}/receipts", protect(receipts.list_run)),
        _route("GET", "/admin/runtime", protect(admin.runtime)),
        _route("POST", "/admin/runtime/actors/{path:path}/kill", protect(admin.kill)),
        _route("GET", "/admin/runtime/actors/{path:path}", protect(admin.actor)),
        _route("GET", "/admin/events", protect(Events(events).stream)),
        _route("GET", "/admin/providers", protect(admin.providers)),
        _route("GET", "/admin/wardwright-models", protect(versions.list)),
        _route("GET", "/admin/wardwright-models/{model}", protect(versions.show)),
        _route("DELETE", "/admin/wardwright-models/{model}", protect(versions.retire)),
        _route("POST", "/admin/wardwright-models/{model}/drafts", protect(versions.draft)),
        _route("POST", "/admin/wardwright-models/{model}/rollback", protect(versions.roll_back)),
        _route("GET", "/admin/wardwright-models/{model}/versions", protect(versions.list_versions)),
        _route("POST", "/admin/wardwright-models/{model}/versions/{version:path}/publish", protect(versions.publish)),
        _route("POST", "/admin/wardwright-models/{model}/versions/{version:path}/canary", protect(versions.canary)),
        _route(
            "POST", "/admin/wardwright-models/{model}/versions/{version:path}/rollback", protect(versions.roll_back)
        ),
        _route("GET", "/admin/wardwright-models/{model}/versions/{version:path}", protect(versions.show_version)),
        _route("GET", "/admin/model-api-keys", protect(keys.list)),
        _route("POST", "/admin/model-api-keys", protect(keys.create)),
        _route("DELETE", "/admin/model-api-keys/{key_id}", protect(keys.revoke)),
        _route("GET", "/admin/sinks", protect(sent_on.list)),
        _route("GET", "/admin/sinks/{sink_id}", protect(sent_on.show)),
        _route("POST", "/admin/sinks/{sink_id}/dead-letters/replay", protect(sent_on.replay)),
        _route("POST", "/admin/sinks/{sink_id}/export", protect(sent_on.export)),
        _route("POST", "/admin/sinks/{sink_id}/pause", protect(sent_on.pause)),
        _route("POST", "/admin/sinks/{sink_id}/resume", protect(sent_on.resume)),
        _route("POST", "/admin/receipts/erase", protect(erasure.erase)),
        _route("GET", "/admin/storage", protect(admin.storage)),
        _route("GET", "/admin/readiness", protect(health.explain)),
        _route("GET", "/metrics", protect(admin.metrics)),
        _route("GET", "/livez", health.live),
        _route("GET", "/readyz", health.ready),
    ]
    if options.inline.is_allowed:
        inline = InlineModels(catalog, options.inline, max_body_bytes=max_body_bytes)
        routes.append(_route("POST", "/__test/config", protect(inline.place)))
    return ErrorBoundary(Router(routes, redirect_slashes=False), pings)


class ErrorBoundary:
    """The outermost layer: gives every request its id, and every failure one well-formed answer.

    `pings` has to run beside it.
    """

    def __init__(self, router: Router, pings: Pings | None = None) -> None:
        self._router = router
        self.pings = Pings(0) if pings is None else pings
        fixed = [route for route in router.routes if isinstance(route, Route) and "{" not in route.path]
        self._served = sorted({route.path for route in fixed})
        # a path without parameters need not be searched for at each request
        places = [(method, route.path) for route in fixed for method in route.methods or ()]
        self._endpoints = {place: _found(router, *place) for place in places}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a websocket finds nothing here."""
        if scope["type"] == "websocket":
            await _refuse_websocket(scope["path"], send)
            return
        request_id = scope["wardwright.request_id"] = mint_request_id()
        scope["app"] = self  # tells Starlette's routes to raise for a wrong method instead of answering plain text
        started = False

        def identified_send(message: Message) -> Awaitable[None]:
            nonlocal started
            if not started:
                started = True
                message["headers"].append((b"x-request-id", request_id.encode()))
            return send(message)

        try:
            endpoint = self._endpoints.get((scope["method"], scope["path"]), self._router)
            await endpoint(scope, receive, identified_send)
        except ClientGone:
            return
        except WardwrightError as error:
            await send_error(identified_send, error_answer(error), wardwright=error_facts(error))
        except HTTPException as error:
            answer = http_error_answer(error.status_code, scope["method"], scope["path"], served=self._served)
            headers = [(name.lower(), value) for name, value in (error.headers or {}).items()]
            await send_error(identified_send, answer, headers=headers)
        except Exception:  # noqa: BLE001 - the boundary: a bug of ours must still be one clean answer and one report
            _log.exception("a request failed on a bug", request_id=request_id, path=scope["path"])
            if started:
                return  # the headers are gone; ending the body short is all that is left to say
            bug = InternalError(f"the gateway failed on this request; its log has the report under {request_id}")
            await send_error(identified_send, error_answer(bug))


def _route(method: str, path: str, endpoint: Endpoint) -> Route:
    route = Route(path, _Plain(endpoint), methods=[method])
    if method == "GET" and route.methods is not None:
        route.methods.add("HEAD")
    return route


class _Plain:
    """Keeps Starlette from wrapping an endpoint: a callable object is taken as the ASGI application it is."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._endpoint(scope, receive, send)


def _found(router: Router, method: str, path: str) -> Endpoint:
    """The endpoint that the router would find."""
    scope = {"type": "http", "method": method, "path": path}
    matching = (route for route in router.routes if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL)
    return next(matching).app


async def _refuse_websocket(path: str, send: Send) -> None:
    """Answer the handshake as any request for what is not here."""

    async def send_to_handshake(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await send_error(send_to_handshake, http_error_answer(404, "GET", path))
