"""The whole surface: who may use which route, what meets no route, and the outermost boundary."""

import json

import pytest
from starlette.routing import Route, Router

from tests.wardwright.edge.asgi import ELSEWHERE, Client, http_scope, site
from tests.wardwright.edge.conftest import Logs
from tests.wardwright.runtime.providers import Watched
from wardwright.domain.errors import NotFound
from wardwright.edge.app import ErrorBoundary
from wardwright.edge.http import ClientGone, Endpoint, Message, Receive, Scope, Send, send_json

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

OPEN = [
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model:path}"),
    ("GET", "/v1/wardwright/models"),
    ("GET", "/v1/wardwright/models/{model:path}"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
]
PROTECTED = [
    ("POST", "/v1/wardwright/simulate"),
    ("GET", "/v1/receipts"),
    ("GET", "/v1/receipts/{receipt_id}"),
    ("POST", "/v1/receipts/{receipt_id}/replay"),
    ("GET", "/v1/runs/{run_id}/receipts"),
    ("POST", "/admin/receipts/erase"),
    ("GET", "/admin/runtime"),
    ("POST", "/admin/runtime/actors/{path:path}/kill"),
    ("GET", "/admin/runtime/actors/{path:path}"),
    ("GET", "/admin/events"),
    ("GET", "/admin/providers"),
    ("GET", "/admin/wardwright-models"),
    ("GET", "/admin/wardwright-models/{model}"),
    ("DELETE", "/admin/wardwright-models/{model}"),
    ("POST", "/admin/wardwright-models/{model}/drafts"),
    ("POST", "/admin/wardwright-models/{model}/rollback"),
    ("GET", "/admin/wardwright-models/{model}/versions"),
    ("GET", "/admin/wardwright-models/{model}/versions/{version:path}"),
    ("POST", "/admin/wardwright-models/{model}/versions/{version:path}/publish"),
    ("POST", "/admin/wardwright-models/{model}/versions/{version:path}/canary"),
    ("POST", "/admin/wardwright-models/{model}/versions/{version:path}/rollback"),
    ("GET", "/admin/model-api-keys"),
    ("POST", "/admin/model-api-keys"),
    ("DELETE", "/admin/model-api-keys/{key_id}"),
    ("GET", "/admin/sinks"),
    ("GET", "/admin/sinks/{sink_id}"),
    ("POST", "/admin/sinks/{sink_id}/dead-letters/replay"),
    ("POST", "/admin/sinks/{sink_id}/export"),
    ("POST", "/admin/sinks/{sink_id}/pause"),
    ("POST", "/admin/sinks/{sink_id}/resume"),
    ("GET", "/admin/storage"),
    ("GET", "/admin/readiness"),
    ("GET", "/metrics"),
]
PLACES = {
    "{model:path}": "test-model",
    "{model}": "nobody",
    "{version:path}": "v1",
    "{receipt_id}": "rcpt_none",
    "{sink_id}": "nobody",
    "{run_id}": "run_1",
    "{path:path}": "wardwright/catalog",
}


def filled(path: str) -> str:
    for place, value in PLACES.items():
        path = path.replace(place, value)
    return path


def boundary(endpoint: Endpoint) -> ErrorBoundary:
    """The outermost layer around one endpoint of a test."""

    class Plain:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await endpoint(scope, receive, send)

    return ErrorBoundary(Router([Route("/", Plain(), methods=["GET"])], redirect_slashes=False))


async def ask(app: ErrorBoundary) -> Client:
    client = Client(b"")
    await app(http_scope(), client.receive, client.send)
    return client


class TestRoutes:
    async def test_each_is_either_open_or_protected_and_all_are_known_here(self) -> None:
        async with site(Watched()) as at:
            routes = at.app._router.routes
        found: list[tuple[str, str]] = []
        for route in routes:
            assert isinstance(route, Route)
            assert route.methods is not None
            found.extend((method, route.path) for method in route.methods - {"HEAD"})
        assert sorted(found) == sorted(OPEN + PROTECTED)

    @pytest.mark.parametrize(("method", "path"), PROTECTED)
    async def test_a_protected_one_refuses_strangers_and_does_nothing(self, method: str, path: str) -> None:
        async with site(Watched()) as at:
            before = at.on.view.actor("wardwright/catalog")["restarts"]
            for peer, headers in ((ELSEWHERE, {}), (("127.0.0.1", 1), {"host": "attacker.example"})):
                client = await at.request(method, filled(path), peer=peer, headers=headers)
                assert (client.status, client.json["error"]["code"]) == (403, "protected_endpoint")
                assert client.headers["x-should-retry"] == "false"
            assert at.on.view.actor("wardwright/catalog")["restarts"] == before

    @pytest.mark.parametrize(("method", "path"), PROTECTED)
    async def test_a_token_opens_it_from_anywhere(self, method: str, path: str) -> None:
        async with site(Watched(), admin_token="s3cret") as at:
            refused = await at.request(method, filled(path))
            client = Client(b"", on_send=lambda message: client.leave())  # an answer may have no end but the client's
            admitted = await at.request(
                method,
                filled(path),
                client=client,
                peer=ELSEWHERE,
                headers={"authorization": "Bearer s3cret", "host": "gw.example"},
            )
        assert refused.status == 403
        assert admitted.status in (200, 202, 400, 404)

    @pytest.mark.parametrize(("method", "path"), OPEN)
    async def test_an_open_one_is_for_everybody(self, method: str, path: str) -> None:
        async with site(Watched(), admin_token="s3cret") as at:
            client = await at.request(method, filled(path), peer=ELSEWHERE, headers={"host": "gw.example"})
        assert client.status in (200, 400)

    @pytest.mark.parametrize(
        "path", ["/", "/v1", "/v1/models/", "/v1//models", "/V1/models", "/v1/embeddings", "/admin"]
    )
    async def test_what_is_not_there_is_not_found_in_our_own_words(self, path: str) -> None:
        async with site(Watched()) as at:
            client = await at.get(path)
        assert client.status == 404
        assert client.json["error"]["code"] in ("not_found", "model_not_found")
        assert client.headers["content-type"] == "application/json"

    @pytest.mark.parametrize(
        ("path", "meant"),
        [
            ("/chat/completions", "/v1/chat/completions"),
            ("/v1/v1/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions/", "/v1/chat/completions"),
            ("/v1/completions", "/v1/chat/completions"),
            ("/models", "/v1/models"),
            ("/ready", "/readyz"),
            ("/v1/embeddings", None),
            ("/", None),
            ("/" + "x" * 100_000, None),
        ],
    )
    async def test_a_path_much_like_one_that_is_served_is_told_that_one(self, path: str, meant: str | None) -> None:
        async with site(Watched()) as at:
            message = (await at.get(path)).json["error"]["message"]
        assert message == f"there is nothing at {path}" + (f"; did you mean {meant}?" if meant else "")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", "/v1/chat/completions", {"POST"}),
            ("POST", "/v1/models", {"GET", "HEAD"}),
            ("DELETE", "/v1/receipts/rcpt_1", {"GET", "HEAD"}),
        ],
    )
    async def test_the_wrong_method_is_told_the_right_ones(self, method: str, path: str, allowed: set[str]) -> None:
        async with site(Watched()) as at:
            client = await at.request(method, path)
        assert (client.status, client.json["error"]["code"]) == (405, "method_not_allowed")
        assert set(client.headers["allow"].split(", ")) == allowed

    @pytest.mark.parametrize("path", ["/livez", "/v1/models", "/metrics"])
    async def test_whatever_can_be_read_has_a_head(self, path: str) -> None:
        async with site(Watched()) as at:
            assert (await at.request("HEAD", path)).status == 200

    async def test_every_answer_has_an_id_of_its_own(self) -> None:
        async with site(Watched()) as at:
            clients = [await at.get(path) for path in ("/livez", "/livez", "/none", "/v1/models", "/v1/models/none")]
            clients.append(await at.chat())
        ids = [client.headers["x-request-id"] for client in clients]
        assert len(set(ids)) == len(ids)
        assert all(one.startswith("req_") for one in ids)


class TestBoundary:
    async def test_a_bug_before_the_head_is_one_clean_answer_and_one_report(self, logs: Logs) -> None:
        async def stumble(scope: Scope, receive: Receive, send: Send) -> None:
            raise RuntimeError("secret detail")

        client = await ask(boundary(stumble))
        request_id = client.headers["x-request-id"]
        assert (client.status, client.is_complete) == (500, True)
        assert client.json["error"]["code"] == "internal_error"
        assert request_id in client.json["error"]["message"]
        assert b"secret" not in client.body
        assert [(entry["event"], entry["request_id"]) for entry in logs] == [("a request failed on a bug", request_id)]

    async def test_a_bug_after_the_head_ends_the_answer_short(self, logs: Logs) -> None:
        async def stumble(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("a bug")

        client = await ask(boundary(stumble))
        assert (client.status, client.body, client.is_complete) == (200, b"half", False)
        assert len(logs) == 1

    async def test_an_error_of_ours_is_answered_by_the_table(self, logs: Logs) -> None:
        async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
            raise NotFound("there is no receipt", "receipt_not_found")

        client = await ask(boundary(refuse))
        assert (client.status, client.json["error"]["message"]) == (404, "there is no receipt")
        assert logs == []

    async def test_nobody_is_answered_when_the_client_has_gone(self, logs: Logs) -> None:
        async def leave(scope: Scope, receive: Receive, send: Send) -> None:
            raise ClientGone

        client = await ask(boundary(leave))
        assert client.status == 0
        assert logs == []

    async def test_an_endpoint_finds_the_id_that_the_answer_will_carry(self) -> None:
        async def tell(scope: Scope, receive: Receive, send: Send) -> None:
            await send_json(send, {"id": scope["wardwright.request_id"]})

        client = await ask(boundary(tell))
        assert client.json["id"] == client.headers["x-request-id"]


class TestOtherProtocols:
    async def test_a_websocket_is_told_that_nothing_is_there(self) -> None:
        async with site(Watched()) as at:
            client, said = Client(), list[Message]()

            async def send(message: Message) -> None:
                said.append(message)

            await at.app({"type": "websocket", "path": "/v1/models"}, client.receive, send)
        start, body = said
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
        assert body["type"] == "websocket.http.response.body"
        assert json.loads(body["body"])["error"]["code"] == "not_found"
