import json
from typing import Any
from urllib.parse import unquote

from .conftest import Run
from .fake_daemon import FakeDaemon, error_answer


def node(path: str, *children: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {
        "path": path,
        "id": unquote(path.rpartition("/")[2]),
        "kind": "Supervisor" if children else "Worker",
        "type": "supervisor" if children else "worker",
        "status": "running",
        "restart": "permanent",
        "mailbox_depth": 0,
        "restarts": 0,
        "last_exit": None,
        "for_s": 1.5,
        "waiting_on": [],
        "passive": 0,
        "children": list(children),
        **facts,
    }


CRASHED = "crashed: ValueError: boom"
RUNTIME = {
    "boot": "boot-1",
    "actor_count": 3,
    "tree": node(
        "wardwright",
        node("wardwright/storage", restarts=2, last_exit=CRASHED, mailbox_depth=7, waiting_on=["wardwright/catalog"]),
        node("wardwright/a%2Fb", status="restarting"),
        node("wardwright/sessions", passive=100_000),
    ),
}


def test_the_tree_is_drawn_with_what_is_worth_a_look(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/runtime", (200, RUNTIME))

    result = run("actors", "tree", "--url", daemon.url)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "wardwright  running",
        "├── storage  running  restarts 2  last exit crashed: ValueError: boom  mailbox 7  waits on wardwright/catalog",
        "├── a%2Fb  restarting",
        "└── sessions  running  and 100000 passive",
        "3 actors, boot boot-1",
    ]


def test_the_tree_for_programs_is_the_daemons_own(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/runtime", (200, RUNTIME))

    result = run("actors", "tree", "--json", "--url", daemon.url)

    assert json.loads(result.stdout) == RUNTIME


def test_an_actor_is_shown_with_its_facts_and_its_state(daemon: FakeDaemon, run: Run) -> None:
    actor = {
        **node("wardwright/storage", last_exit=CRASHED),
        "children": ["wardwright/storage/a", "wardwright/storage/b"],
        "waiting_on": [],
        "state": {"queue": 3, "facts": {"deep": [1]}, "name": "\x1b[2J"},
    }
    daemon.lay("GET", "/admin/runtime/actors/wardwright/storage", (200, actor))

    result = run("actors", "inspect", "wardwright/storage", "--url", daemon.url)

    assert (result.exit_code, result.stderr) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert shown == {
        "path": "wardwright/storage",
        "id": "storage",
        "kind": "Worker",
        "type": "worker",
        "status": "running",
        "restart": "permanent",
        "mailbox_depth": "0",
        "restarts": "0",
        "last_exit": CRASHED,
        "for_s": "1.5",
        "children": "wardwright/storage/a, wardwright/storage/b",
        "passive": "0",
        "state.queue": "3",
        "state.facts": '{"deep":[1]}',
        "state.name": "\\x1b[2J",
    }


def test_an_actor_for_programs_is_the_daemons_own(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/runtime/actors/wardwright", (200, node("wardwright")))

    result = run("actors", "inspect", "wardwright", "--json", "--url", daemon.url)

    assert json.loads(result.stdout) == node("wardwright")


def test_an_actor_that_is_not_there_fails(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay(
        "GET", "/admin/runtime/actors/wardwright/x", error_answer(404, "there is no actor at 'x'", "actor_not_found")
    )

    result = run("actors", "inspect", "wardwright/x", "--json", "--url", daemon.url)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "wardwright: there is no actor at 'x' (actor_not_found)\n"


def test_kill_asks_the_daemon_to_kill(daemon: FakeDaemon, run: Run) -> None:
    path = "/admin/runtime/actors/wardwright/storage/kill"
    daemon.lay("POST", path, (202, {"path": "wardwright/storage", "killed": True}))

    told = run("actors", "kill", "wardwright/storage", "--url", daemon.url)
    listed = run("actors", "kill", "wardwright/storage", "--json", "--url", daemon.url)

    assert [(asked.method, asked.path) for asked in daemon.asked] == [("POST", path)] * 2
    assert (told.exit_code, told.stdout) == (0, "killed wardwright/storage\n")
    assert json.loads(listed.stdout) == {"path": "wardwright/storage", "killed": True}
