"""The endpoints that only read: models, receipts, health, and the operator's view with its one lever."""

import anyio
import msgspec
import pytest

from supervisors import restart_child, terminate_child
from supervisors.testing import settle
from tests.wardwright.edge.asgi import site
from tests.wardwright.edge.conftest import Logs
from tests.wardwright.runtime.providers import Watched
from tests.wardwright.runtime.stage import BOOT, cascade
from wardwright.domain.route import Target
from wardwright.runtime.tree import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]


class TestModels:
    async def test_each_is_listed_under_both_of_its_names(self) -> None:
        async with site(Watched()) as at:
            client = await at.get("/v1/models")
        entries = [
            {"id": name, "object": "model", "created": 0, "owned_by": "wardwright"}
            for name in ("test-model", "wardwright/test-model")
        ]
        assert client.json == {"object": "list", "data": entries}

    @pytest.mark.parametrize("name", ["test-model", "wardwright/test-model"])
    async def test_one_is_shown_under_the_name_it_was_asked_for(self, name: str) -> None:
        async with site(Watched()) as at:
            assert (await at.get(f"/v1/models/{name}")).json["id"] == name

    @pytest.mark.parametrize("path", ["/v1/models/first/m", "/v1/wardwright/models/none", "/v1/models/wardwright/none"])
    async def test_what_is_no_public_model_is_not_found(self, path: str) -> None:
        async with site(Watched("first")) as at:
            client = await at.get(path)
        assert (client.status, client.json["error"]["code"]) == (404, "model_not_found")

    async def test_a_model_for_internal_composition_is_neither_listed_nor_shown(self) -> None:
        hidden = msgspec.structs.replace(cascade("first"), callable_from_outside=False)
        async with site(Watched("first"), definition=hidden) as at:
            assert (await at.get("/v1/models")).json["data"] == []
            assert (await at.get("/v1/wardwright/models")).json["data"] == []
            client = await at.get("/v1/models/test-model")
        assert (client.status, client.json["error"]["code"]) == (403, "model_internal")

    async def test_our_own_list_says_more_and_nothing_of_targets(self) -> None:
        model = msgspec.structs.replace(cascade("first"), description="A model for tests")
        async with site(Watched("first"), definition=model) as at:
            listed = await at.get("/v1/wardwright/models")
            shown = await at.get("/v1/wardwright/models/wardwright/test-model")
        entry = {
            "id": "test-model",
            "public_model_id": "wardwright/test-model",
            "active_version": "v1",
            "description": "A model for tests",
            "route_type": "cascade",
            "status": "active",
        }
        assert listed.json == {"data": [entry]}
        assert shown.json == entry
        assert b"first" not in listed.body

    async def test_a_model_that_is_one_target_says_so(self) -> None:
        target = Target("first/m", "first", "upstream", 8192)
        model = msgspec.structs.replace(cascade("first"), root=target.id, selectors=(), targets=(target,))
        async with site(Watched("first"), definition=model) as at:
            assert (await at.get("/v1/wardwright/models/test-model")).json["route_type"] == "target"


class TestReceipts:
    async def test_one_is_shown_whole(self) -> None:
        async with site(Watched()) as at:
            receipt_id = (await at.chat()).headers["x-wardwright-receipt-id"]
            client = await at.get(f"/v1/receipts/{receipt_id}")
        assert client.json["receipt_id"] == receipt_id
        assert client.json["final"]["status"] == "completed"
        assert len(client.json["events"]) == 4

    async def test_an_unknown_one_is_not_found(self) -> None:
        async with site(Watched()) as at:
            client = await at.get("/v1/receipts/rcpt_none")
        assert (client.status, client.json["error"]["code"]) == (404, "receipt_not_found")

    async def test_they_are_listed_newest_first_page_by_page(self) -> None:
        async with site(Watched()) as at:
            ids = [(await at.chat()).headers["x-wardwright-receipt-id"] for _ in range(3)]
            first = (await at.get("/v1/receipts", query="limit=2")).json
            second = (await at.get("/v1/receipts", query=f"limit=2&cursor={first['next_cursor']}")).json
        listed = [summary["receipt_id"] for summary in first["data"] + second["data"]]
        assert listed == sorted(ids, reverse=True)
        assert second["next_cursor"] is None

    @pytest.mark.parametrize(("query", "param"), [("limit=0", "limit"), ("cursor=x", "cursor"), ("a=%FF", None)])
    async def test_a_query_that_cannot_be_is_refused(self, query: str, param: str | None) -> None:
        async with site(Watched()) as at:
            client = await at.get("/v1/receipts", query=query)
        assert (client.status, client.json["error"]["param"]) == (400, param)

    async def test_the_receipts_of_a_run_are_those_that_named_it(self) -> None:
        async with site(Watched()) as at:
            mine = (await at.chat(headers={"x-wardwright-run-id": "r 1"})).headers["x-wardwright-receipt-id"]
            await at.chat(headers={"x-wardwright-run-id": "r2"})
            listed = (await at.get("/v1/runs/r 1/receipts")).json["data"]
            other = (await at.get("/v1/runs/r 1/receipts", query="run_id=r2")).json["data"]
        assert [summary["receipt_id"] for summary in listed] == [mine]
        assert other == listed, "the path says which run, whatever the query says"

    async def test_without_a_store_they_are_unavailable(self) -> None:
        async with site(Watched()) as at:
            at.on.boards.store.replace(None)
            client = await at.get("/v1/receipts")
            at.on.boards.store.replace(at.on.store)
        assert (client.status, client.json["error"]["code"]) == (503, "storage_unavailable")


class TestHealth:
    async def test_a_healthy_daemon_is_alive_and_ready(self) -> None:
        async with site(Watched()) as at:
            alive, ready = await at.get("/livez"), await at.get("/readyz")
        assert (alive.status, alive.json) == (200, {"status": "ok"})
        assert (ready.status, ready.json) == (200, {"status": "ready"})

    async def test_one_that_cannot_serve_is_alive_and_tells_strangers_what_fails_and_operators_why(
        self, logs: Logs
    ) -> None:
        async with site(Watched("first"), Watched("second")) as at:
            at.on.boards.sinks.closed_by = "the sink 'archive' is too far behind"
            for name in ("first", "second"):
                await terminate_child(at.on.system.named(f"{ROOT}/providers"), name)
            alive, ready, again = [await at.get(path) for path in ("/livez", "/readyz", "/readyz")]
            why = await at.get("/admin/readiness")
            at.on.boards.sinks.closed_by = None
            for name in ("first", "second"):
                await restart_child(at.on.system.named(f"{ROOT}/providers"), name)
            better = [await at.get(path) for path in ("/readyz", "/admin/readiness")]
        assert alive.status == 200
        assert (ready.status, ready.json) == (503, {"status": "not ready", "problems": ["sinks", "actors"]})
        assert again.json == ready.json
        assert (why.status, why.json) == (
            200,
            {
                "status": "not ready",
                "problems": [
                    {"check": "sinks", "detail": "the sink 'archive' is too far behind"},
                    {"check": "actors", "detail": "wardwright/providers/first is stopped"},
                    {"check": "actors", "detail": "wardwright/providers/second is stopped"},
                ],
            },
        )
        assert [one.json for one in better] == [{"status": "ready"}, {"status": "ready", "problems": []}]
        told = [(one["event"], one.get("problems")) for one in logs if one["event"] in ("not ready", "ready again")]
        details = [problem["detail"] for problem in why.json["problems"]]
        assert told == [("not ready", details), ("ready again", None)], "once, however often it is asked"


class TestAdmin:
    async def test_the_tree_is_shown(self) -> None:
        async with site(Watched()) as at:
            shown = (await at.get("/admin/runtime")).json
        assert shown["boot"] == BOOT
        assert shown["tree"]["path"] == ROOT

    async def test_an_actor_is_shown_and_killed_by_its_path(self) -> None:
        async with site(Watched()) as at:
            before = await at.get("/admin/runtime/actors/wardwright/providers/first")
            killed = await at.request("POST", "/admin/runtime/actors/wardwright/providers/first/kill")
            await settle()
            after = await at.get("/admin/runtime/actors/wardwright/providers/first")
        assert before.json["restarts"] == 0
        assert (killed.status, killed.json) == (202, {"path": "wardwright/providers/first", "killed": True})
        assert (after.json["restarts"], after.json["last_exit"]) == (1, "killed")

    @pytest.mark.parametrize(
        "path", ["/admin/runtime/actors/wardwright/none", "/admin/runtime/actors/wardwright/catalog/kill"]
    )
    async def test_what_is_not_there_cannot_be_shown(self, path: str) -> None:
        async with site(Watched()) as at:
            client = await at.get(path)
        assert (client.status, client.json["error"]["code"]) == (404, "actor_not_found")

    async def test_providers_and_storage_are_shown(self) -> None:
        async with site(Watched()) as at:
            await at.chat()
            providers = (await at.get("/admin/providers")).json["data"]
            storage = (await at.get("/admin/storage")).json
        assert [(provider["id"], provider["completed_count"]) for provider in providers] == [("first", 1)]
        assert (storage["kind"], storage["receipt_count"], storage["open_count"]) == ("memory", 1, 0)
        assert (storage["writer"]["waiting"], storage["snapshot"]) == (0, None), "memory outlives no process"

    async def test_metrics_are_in_prometheus_format(self) -> None:
        async with site(Watched()) as at:
            await at.chat()
            client = await at.get("/metrics")
        assert client.headers["content-type"].startswith("text/plain")
        assert 'wardwright_requests_total{model="test-model",status="completed"} 1.0' in client.body.decode()

    async def test_a_live_request_can_be_looked_at_and_ended(self) -> None:
        async with site(Watched(chunk_delay_s=10)) as at, anyio.create_task_group() as tasks:
            tasks.start_soon(at.chat)
            await anyio.sleep(5)
            [run] = at.on.live_runs()
            assert (await at.get(f"/admin/runtime/actors/{run}")).json["state"]["phase"] == "waiting for first token"
            assert (await at.request("POST", f"/admin/runtime/actors/{run}/kill")).status == 202
            await settle()
            assert at.on.live_runs() == []
