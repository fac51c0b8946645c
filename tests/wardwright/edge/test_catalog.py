"""The admin API of models and versions: what each endpoint answers, and what is wrong with a request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.routing import Route, Router

from tests.wardwright.edge.asgi import Client, http_scope
from tests.wardwright.runtime.catalog_rig import HEAD, Rig, draft, model, rig
from wardwright.edge.app import ErrorBoundary
from wardwright.edge.catalog import CatalogAdmin
from wardwright.edge.http import Endpoint, Receive, Scope, Send

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

V2 = draft("local/large", version="v2", description="The large one")


class Api:
    """The endpoints before a running catalog."""

    def __init__(self, on: Rig) -> None:
        self.on = on
        admin = CatalogAdmin(on.desk, max_body_bytes=100_000)
        base = "/{model}"
        self._app = ErrorBoundary(
            Router(
                [
                    route("GET", "/", admin.list),
                    route("GET", base, admin.show),
                    route("DELETE", base, admin.retire),
                    route("POST", f"{base}/drafts", admin.draft),
                    route("POST", f"{base}/rollback", admin.roll_back),
                    route("GET", f"{base}/versions", admin.list_versions),
                    route("POST", f"{base}/versions/{{version:path}}/publish", admin.publish),
                    route("POST", f"{base}/versions/{{version:path}}/canary", admin.canary),
                    route("POST", f"{base}/versions/{{version:path}}/rollback", admin.roll_back),
                    route("GET", f"{base}/versions/{{version:path}}", admin.show_version),
                ],
                redirect_slashes=False,
            )
        )

    async def ask(self, method: str, path: str, body: object = None, *, raw: bytes | None = None) -> tuple[int, Any]:
        sent = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        client = Client(sent)
        await self._app(http_scope(method, path), client.receive, client.send)
        return client.status, client.json

    async def get(self, path: str) -> Any:
        status, answer = await self.ask("GET", path)
        assert status == 200, answer
        return answer

    async def post(self, path: str, body: object = None) -> Any:
        status, answer = await self.ask("POST", path, body)
        assert status in (200, 201), answer
        return answer


def route(method: str, path: str, endpoint: Endpoint) -> Route:
    class Plain:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await endpoint(scope, receive, send)

    return Route(path, Plain(), methods=[method])


@asynccontextmanager
async def api(folder: Path, *models: str) -> AsyncIterator[Api]:
    async with rig(folder, *(models or (model("m", version="v1"),))) as on:
        yield Api(on)


class TestReading:
    async def test_models_are_listed_with_what_answers_for_them(self, tmp_path: Path) -> None:
        async with api(tmp_path, model("m", version="v1"), model("a", description="first")) as at:
            listed = (await at.get("/"))["data"]
            assert [entry["id"] for entry in listed] == ["a", "m"]
            assert listed[1] == {
                "id": "m",
                "public_model_id": "wardwright/m",
                "status": "active",
                "active_version": "v1",
                "content": listed[1]["content"],
                "source": "file",
                "canary": None,
                "description": "",
                "route_type": "cascade",
                "access": "public",
                "version_count": 1,
                "changed_at": 1_800_000_000.0,
                "problem": None,
            }

    async def test_a_model_is_found_with_and_without_its_prefix(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            assert (await at.get("/m"))["id"] == "m"
            status, answer = await at.ask("GET", "/nobody")
            assert (status, answer["error"]["code"]) == (404, "model_not_found")

    async def test_a_model_of_drafts_alone_says_so(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            await at.post("/new/drafts", V2)
            shown = await at.get("/new")
            assert (shown["status"], shown["active_version"], shown["route_type"]) == ("draft", None, None)

    async def test_versions_and_history_are_told_newest_first(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            await at.post("/m/drafts", V2)
            await at.post("/m/drafts", draft("local/small", "local/large", version="v3"))
            await at.post("/m/versions/v2/publish")
            await at.post("/m/versions/v3/canary", {"percent": 12.5})
            answer = await at.get("/m/versions")
            assert [(one["version"], one["state"], one["percent"], one["source"]) for one in answer["data"]] == [
                ("v3", "canary", 12.5, "admin"),
                ("v2", "active", None, "admin"),
                ("v1", "superseded", None, "file"),
            ]
            assert [(step["what"], step["version"]) for step in answer["history"]][:2] == [
                ("canary", "v3"),
                ("published", "v2"),
            ]

    async def test_a_version_shows_its_artifact_as_it_would_be_drafted_again(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            await at.post("/m/drafts", V2)
            detail = await at.get("/m/versions/v2")
            assert detail["artifact"] == {
                "id": "m",
                **V2,
                "targets": [{"id": "local/large", "provider": "local", "context_window": 32768}],
            }
            status, _ = await at.ask("POST", "/m/drafts", detail["artifact"])
            assert status == 200, "it is the same version again"

    async def test_a_version_shows_the_graph_it_amounts_to(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            graph = (await at.get("/m/versions/v1"))["route_graph"]
            assert graph["root"] == "in-order"
            (node,) = graph["nodes"]
            assert (node["id"], node["kind"], node["members"]) == ("in-order", "cascade", ["local/small"])
            assert graph["targets"] == [
                {"id": "local/small", "provider": "local", "upstream_model": "small", "context_window": 8192}
            ]

    async def test_a_name_with_slashes_finds_its_version(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            await at.post("/m/drafts", {**V2, "version": "release/2/publish"})
            assert (await at.get("/m/versions/release/2/publish"))["summary"]["state"] == "draft"
            await at.post("/m/versions/release/2/publish/publish")
            assert at.on.active() == {"m": "release/2/publish"}


class TestDeciding:
    async def test_a_draft_is_created_once(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            first, again = [await at.ask("POST", "/m/drafts", V2) for _ in range(2)]
            assert (first[0], again[0]) == (201, 200)
            assert first[1] == again[1]
            assert (first[1]["version"], first[1]["state"]) == ("v2", "draft")

    async def test_publish_canary_and_rollback_answer_with_what_is_served_then(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            await at.post("/m/drafts", V2)
            assert (await at.post("/m/versions/v2/canary", {"percent": 5}))["canary"] == {
                "version": "v2",
                "percent": 5.0,
            }
            assert (await at.post("/m/rollback"))["canary"] is None
            assert (await at.post("/m/versions/v2/publish", {"instead_of": "v1"}))["active_version"] == "v2"
            assert (await at.post("/m/versions/v2/rollback"))["active_version"] == "v1"

    async def test_a_retired_model_stays_to_be_looked_at(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            status, answer = await at.ask("DELETE", "/m")
            assert (status, answer["status"], answer["active_version"]) == (200, "retired", None)
            status, answer = await at.ask("DELETE", "/m")
            assert (status, answer["error"]["code"]) == (409, "version_conflict")

    async def test_all_problems_of_a_draft_are_told_with_their_places(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            status, answer = await at.ask("POST", "/m/drafts", {"colour": "red", "max_attempts": 0, "route_root": "x"})
            assert (status, answer["error"]["code"]) == (400, "invalid_config")
            assert [problem["path"] for problem in answer["wardwright"]["problems"]] == [
                *("colour", "max_attempts", "route_root")
            ]
            assert all(problem["message"] in answer["error"]["message"] for problem in answer["wardwright"]["problems"])

    async def test_what_could_not_be_served_is_a_conflict_with_its_problems(self, tmp_path: Path) -> None:
        spare = HEAD + '\n[[providers]]\nid = "spare"\nkind = "canned"\noutputs = ["x"]\n'
        own = {"id": "spare/x", "provider": "spare", "context_window": 10}
        async with rig(tmp_path, model("m", version="v1"), head=spare) as on:
            at = Api(on)
            await at.post("/m/drafts", {**draft("spare/x", version="v2"), "targets": [own]})
            on.write(model("m", version="v1"))
            await on.desk.reload()
            status, answer = await at.ask("POST", "/m/versions/v2/publish")
            assert (status, answer["error"]["code"]) == (409, "version_conflict")
            (problem,) = answer["wardwright"]["problems"]
            assert problem["path"] == "models.m"

    async def test_a_body_beyond_the_limit_is_refused(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            status, answer = await at.ask("POST", "/m/drafts", {"description": "x" * 100_000})
            assert (status, answer["error"]["code"]) == (413, "request_too_large")

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/m/drafts", b"[]"),
            ("/m/drafts", b"{"),
            ("/m/drafts", b""),
            ("/m/versions/v1/canary", b""),
            ("/m/versions/v1/canary", b'{"percent": 101}'),
            ("/m/versions/v1/canary", b'{"percent": -1}'),
            ("/m/versions/v1/canary", b'{"percent": "half"}'),
            ("/m/versions/v1/canary", b'{"percent": 1, "sticky": true}'),
            ("/m/versions/v1/publish", b'{"insted_of": "v1"}'),
        ],
    )
    async def test_a_body_that_is_something_else_is_refused(self, tmp_path: Path, path: str, body: bytes) -> None:
        async with api(tmp_path) as at:
            status, answer = await at.ask("POST", path, raw=body)
            assert (status, answer["error"]["code"]) == (400, "invalid_request")

    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            ("/nobody/rollback", 404, "model_not_found"),
            ("/m/versions/v9/publish", 404, "version_not_found"),
            ("/m/rollback", 409, "version_conflict"),
            ("/m/versions/v9/rollback", 409, "version_conflict"),
        ],
    )
    async def test_what_cannot_be_done_says_why(self, tmp_path: Path, path: str, status: int, code: str) -> None:
        async with api(tmp_path) as at:
            found, answer = await at.ask("POST", path)
            assert (found, answer["error"]["code"]) == (status, code)

    async def test_a_label_of_other_content_is_a_conflict(self, tmp_path: Path) -> None:
        async with api(tmp_path) as at:
            status, answer = await at.ask("POST", "/m/drafts", {**V2, "version": "v1"})
            assert (status, answer["error"]["code"]) == (409, "version_conflict")
