"""Sessions over HTTP: an alloy alternates by their turns and a sticky selector keeps their target, whatever is killed meanwhile."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.acceptance.daemon import Daemon, run_daemon
from tests.wardwright.receipts.receipt_samples import sealed
from wardwright.app.storage import storage_at
from wardwright.receipts.events import Opened

CONFIGURATION = """
[[providers]]
id = "demo"
kind = "canned"
outputs = ["hello"]

[[targets]]
id = "demo/a"
provider = "demo"
context_window = 8192

[[targets]]
id = "demo/b"
provider = "demo"
context_window = 8192

[[models]]
id = "test-model"
[[models.alloys]]
id = "blend"
strategy = "round_robin"
constituents = [{ model = "demo/a" }, { model = "demo/b" }]

[[models]]
id = "sticky-model"
[[models.alloys]]
id = "blend"
strategy = "round_robin"
sticky = "session"
constituents = [{ model = "demo/a" }, { model = "demo/b" }]
"""


@pytest.fixture(params=["asyncio", "trio"])
def configuration(request: pytest.FixtureRequest) -> str:
    return f'[runtime]\nbackend = "{request.param}"\n{CONFIGURATION}'


def ask(daemon: Daemon, session: str, model: str = "test-model") -> tuple[str, int]:
    """The target that answered, and the turn."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    with daemon.client() as client:
        answer = client.post("/v1/chat/completions", json=body, headers={"x-wardwright-session-id": session})
    assert answer.status_code == 200, answer.text
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    return receipt["final"]["selected_model"], receipt["session_turn"]


def kill(daemon: Daemon, path: str) -> None:
    with daemon.client() as client:
        assert client.post(f"/admin/runtime/actors/{path}/kill").status_code == 202


def test_an_alloy_alternates_by_the_turns_of_a_session_through_crashes_and_restarts(
    tmp_path: Path, configuration: str
) -> None:
    with run_daemon(tmp_path, configuration) as daemon:
        assert [ask(daemon, "one") for _ in range(3)] == [("demo/a", 1), ("demo/b", 2), ("demo/a", 3)]
        assert ask(daemon, "two") == ("demo/a", 1)
        kill(daemon, "wardwright/models/test-model/sessions/one")
        assert ask(daemon, "one") == ("demo/b", 4)
    with run_daemon(tmp_path, configuration) as daemon:
        assert [ask(daemon, "one"), ask(daemon, "two")] == [("demo/a", 5), ("demo/b", 2)]


def test_a_sticky_selector_keeps_its_target_through_crashes_and_restarts(tmp_path: Path, configuration: str) -> None:
    with run_daemon(tmp_path, configuration) as daemon:
        assert [ask(daemon, "s", "sticky-model")[0] for _ in range(3)] == ["demo/a"] * 3
        kill(daemon, "wardwright/models/sticky-model/sessions/s")
        assert ask(daemon, "s", "sticky-model")[0] == "demo/a"
    with run_daemon(tmp_path, configuration) as daemon:
        assert ask(daemon, "s", "sticky-model") == ("demo/a", 5)


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_request_that_its_session_did_not_answer_does_not_end_the_session(tmp_path: Path, kind: str) -> None:
    configuration = f'{CONFIGURATION}\n[storage]\nkind = "{kind}"\n'
    with run_daemon(tmp_path, configuration) as daemon:
        assert [ask(daemon, "s", "sticky-model") for _ in range(2)] == [("demo/a", 1), ("demo/a", 2)]
    store = storage_at(kind, tmp_path / "data").open()
    newest = store.newest_of_session("sticky-model", "s")
    assert newest is not None
    opened, *others = (entry.event for entry in store.entries(newest))
    assert isinstance(opened, Opened)
    facts = replace(opened.decision.facts, session=None)
    without = replace(opened, session_turn=None, decision=replace(opened.decision, facts=facts, sticky=()))
    store.append(sealed([without, *others], receipt_id=f"{newest}0"))
    store.close()
    with run_daemon(tmp_path, configuration) as daemon:
        assert [ask(daemon, "s", "sticky-model") for _ in range(2)] == [("demo/a", 3), ("demo/a", 4)]
