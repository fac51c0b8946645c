"""The tree as operators see it, and the lever on single actors."""

from functools import partial

import anyio
import msgspec
import pytest

from supervisors.testing import settle
from tests.wardwright.runtime.providers import Hanging, Watched
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import BOOT, InlineThreads, stage
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.errors import NotFound
from wardwright.runtime.admin import walk
from wardwright.runtime.tree import EVENTS, MODELS, PROVIDERS, ROOT, RUNS, SINKS, STORAGE

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

WHOLE_TREE = [
    ROOT,
    EVENTS,
    STORAGE,
    SINKS,
    f"{ROOT}/catalog",
    PROVIDERS,
    f"{PROVIDERS}/first",
    MODELS,
    f"{MODELS}/test-model",
    f"{MODELS}/test-model/model",
    f"{MODELS}/test-model/sessions",
    RUNS,
    f"{ROOT}/edge",
]


async def test_the_tree_stands_parents_first_and_in_start_order() -> None:
    async with stage(Watched()) as on:
        assert [node.path for node in walk(on.system.tree())] == WHOLE_TREE


async def test_the_runtime_is_shown_nested_with_every_actors_facts() -> None:
    async with stage(Watched()) as on:
        await anyio.sleep(12.5)
        shown = msgspec.json.decode(msgspec.json.encode(on.view.runtime()))

    assert (shown["boot"], shown["actor_count"]) == (BOOT, len(WHOLE_TREE))
    assert shown["tree"]["path"] == ROOT
    storage = shown["tree"]["children"][1]
    assert storage == {
        "path": STORAGE,
        "id": "storage",
        "kind": "Checkpointer",
        "type": "worker",
        "status": "running",
        "for_s": 12.5,
        "restart": "permanent",
        "restarts": 0,
        "last_exit": None,
        "mailbox_depth": 0,
        "waiting_on": [],
        "passive": 0,
        "children": [],
    }


async def test_what_the_tree_is_there_for_is_shown_apart() -> None:
    async with stage(Hanging()) as on, anyio.create_task_group() as tasks:
        caller = Caller(session_id=Attributed("s1", "header"))
        tasks.start_soon(partial(on.ask, RecordingResponder(), caller=caller))
        await anyio.sleep(2.5)
        shown = msgspec.json.decode(msgspec.json.encode(on.view.runtime()))
        tasks.cancel_scope.cancel()

    (model,) = shown["models"]
    assert (model["model_id"], model["version"], model["canary"]) == ("test-model", "v1", None)
    assert (model["sessions"], model["passive_sessions"], model["for_s"]) == (1, 0, 2.5)
    (session,) = shown["sessions"]
    assert (session["model_id"], session["session_id"], session["turn"]) == ("test-model", "s1", 1)
    assert [provider["id"] for provider in shown["providers"]] == ["first"]
    (attempt,) = shown["provider_attempts"]
    assert (attempt["provider"], attempt["target"], attempt["attempt"], attempt["for_s"]) == (
        "first",
        "first/m",
        1,
        2.5,
    )


async def test_one_actor_is_shown_with_its_state() -> None:
    async with stage(Watched()) as on:
        shown = on.view.actor(f"{PROVIDERS}/first")
        assert (shown["path"], shown["status"], shown["children"]) == (f"{PROVIDERS}/first", "running", [])
        assert shown["handled"] == 0
        assert (shown["current_message"], shown["busy_for_s"]) == (None, None)
        state = shown["state"]
        assert isinstance(state, dict)
        assert state["provider_id"] == "first"
        assert on.view.actor(PROVIDERS)["children"] == [f"{PROVIDERS}/first"]


async def test_a_stuck_actor_can_be_looked_at(threads: InlineThreads) -> None:
    async with stage(Watched()) as on:
        threads.takes_s = 20.0
        on.kill(STORAGE)
        await anyio.sleep(2)
        shown = on.view.actor(STORAGE)
        assert (shown["status"], shown["restarts"], shown["last_exit"]) == ("starting", 1, "killed")
        threads.takes_s = 0.0


async def test_a_live_run_is_in_the_tree() -> None:
    async with stage(Hanging()) as on, anyio.create_task_group() as tasks:
        responder = RecordingResponder()
        tasks.start_soon(on.ask, responder)
        await settle()
        shown = on.view.actor(f"{RUNS}/{responder.receipt_id}")
        state = shown["state"]
        assert isinstance(state, dict)
        assert (shown["kind"], state["phase"]) == ("adopted", "waiting for first token")
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("path", ["", "wardwright/none", "elsewhere", f"{ROOT}/storage/", "/"])
async def test_what_is_not_there_is_not_found(path: str) -> None:
    async with stage(Watched()) as on:
        for look in (on.view.actor, on.view.kill):
            with pytest.raises(NotFound) as caught:
                look(path)
            assert caught.value.code == "actor_not_found"
            assert repr(path) in caught.value.message


async def test_a_kill_is_as_a_crash_would_be() -> None:
    async with stage(Watched()) as on:
        assert on.view.kill(f"{PROVIDERS}/first") == {"path": f"{PROVIDERS}/first", "killed": True}
        await settle()
        shown = on.view.actor(f"{PROVIDERS}/first")
        assert (shown["status"], shown["restarts"], shown["last_exit"]) == ("running", 1, "killed")


async def test_providers_are_shown_with_their_health() -> None:
    async with stage(Watched("second"), Watched("first")) as on:
        shown = on.view.providers()
        assert [provider["id"] for provider in shown] == ["first", "second"]
        assert shown[0] == {
            "id": "first",
            "kind": "canned",
            "base_url": None,
            "credential_source": "none",
            "demo": True,
            "health": "unknown",
            "attempt_count": 0,
            "completed_count": 0,
            "cancelled_count": 0,
            "error_count": 0,
            "consecutive_failures": 0,
            "last_failure": None,
            "last_latency_ms": None,
            "live_attempts": 0,
            "breaker": {"state": "closed", "retry_in_s": None},
            "permits": {"limit": 64, "in_use": 0, "waiting": 0, "expected_wait_s": 0.0},
            "on_hold": None,
            "targets": [],
        }


async def test_a_provider_whose_actor_is_down_is_still_shown_with_its_health() -> None:
    async with stage(Watched()) as on:
        await on.ask(RecordingResponder())
        on.kill(f"{PROVIDERS}/first")
        [shown] = on.view.providers()
        assert (shown["id"], shown["health"], shown["completed_count"]) == ("first", "healthy", 1)
