import json
from pathlib import Path
from typing import Any

import pytest

from wardwright.cli.receipt_story import moment

from .conftest import Run
from .fake_daemon import FakeDaemon, error_answer

PATH = "/admin/wardwright-models/coding"
SUMMARY: dict[str, Any] = {
    "id": "coding",
    "status": "active",
    "active_version": "v1",
    "source": "file",
    "canary": None,
    "problem": None,
}
CANARY = {**SUMMARY, "canary": {"version": "v2", "percent": 12.5}}
V1 = {
    "version": "v1",
    "state": "active",
    "percent": None,
    "source": "file",
    "added_at": 1_800_000_000.0,
    "published_at": 1_800_000_001.0,
}
V2 = {**V1, "version": "v2", "state": "canary", "percent": 12.5, "source": "admin", "published_at": None}
HISTORY = [
    {"at": 1_800_000_003.0, "what": "canary_started", "version": "v2", "percent": 12.5},
    {"at": 1_800_000_000.0, "what": "version_added", "version": "v1", "source": "file"},
]
GRAPH = {
    "root": "fit",
    "nodes": [
        {"id": "fit", "kind": "dispatcher", "members": ["pair", "big"], "settings": {"on_overflow": "largest"}},
        {"id": "pair", "kind": "cascade", "members": ["small", "big"], "settings": {}},
    ],
    "targets": [
        {"id": "small", "provider": "local", "upstream_model": "smollm2", "context_window": 8192},
        {"id": "big", "provider": "openai", "upstream_model": "gpt-4o", "context_window": 128000},
    ],
}
ARTIFACT = {"id": "coding", "route_root": "fit"}
DETAIL = {"model_id": "coding", "summary": V1, "artifact": ARTIFACT, "route_graph": GRAPH}
MODEL_TOML = 'id = "coding"\nroute_root = "fit"\n'


def test_a_model_is_shown_with_its_versions_and_its_history(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", PATH, (200, CANARY))
    daemon.lay("GET", f"{PATH}/versions", (200, {"data": [V2, V1], "history": HISTORY}))

    result = run("models", "show", "wardwright/coding", "--url", daemon.url)

    added, published = moment(1_800_000_000.0), moment(1_800_000_001.0)
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "v1 answers for coding, and v2 for 12.5 % of the sessions",
        "VERSION STATE FROM MADE PUBLISHED",
        f"v2 canary, 12.5 % admin {added} -",
        f"v1 active file {added} {published}",
        "history, newest first",
        f"{moment(1_800_000_003.0)} canary started v2 at 12.5 %",
        f"{added} version added v1, by the configuration file",
    ]


def test_a_model_for_programs_is_one_object(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", PATH, (200, SUMMARY))
    daemon.lay("GET", f"{PATH}/versions", (200, {"data": [V1], "history": HISTORY}))
    told = json.loads(run("models", "show", "coding", "--json", "--url", daemon.url).stdout)
    assert told == {**SUMMARY, "versions": [V1], "history": HISTORY}


def test_what_nothing_answers_for_says_so(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("POST", f"{PATH}/rollback", (200, {**SUMMARY, "status": "retired", "active_version": None}))
    result = run("models", "rollback", "coding", "--url", daemon.url)
    assert result.stdout == "coding is retired: nothing answers for it\n"


def test_a_graph_names_a_target_again_and_draws_a_selector_once(daemon: FakeDaemon, run: Run) -> None:
    nodes = [{**GRAPH["nodes"][0], "members": ["pair", "pair", "big"]}, GRAPH["nodes"][1]]  # type: ignore[dict-item]
    daemon.lay("GET", PATH, (200, SUMMARY))
    daemon.lay("GET", f"{PATH}/versions/v1", (200, {**DETAIL, "route_graph": {**GRAPH, "nodes": nodes}}))

    lines = [line.strip("│├└─ ") for line in run("models", "graph", "coding", "--url", daemon.url).stdout.splitlines()]

    big = "big  gpt-4o at openai, window 128000"
    assert lines[0] == "coding, version v1"
    assert [line for line in lines[1:] if line] == [
        "fit  dispatcher, on_overflow largest",
        "pair  cascade",
        "small  smollm2 at local, window 8192",
        big,
        "pair  (drawn above)",
        big,
    ]


def test_a_graph_of_a_model_without_an_active_version_wants_one_named(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", PATH, (200, {**SUMMARY, "active_version": None}))
    result = run("models", "graph", "coding", "--url", daemon.url)
    assert result.exit_code == 2
    assert "coding has no active version: name one of its drafts" in result.stderr


def test_an_export_is_what_an_import_takes(daemon: FakeDaemon, run: Run, folder: Path) -> None:
    daemon.lay("GET", f"{PATH}/versions/v1", (200, DETAIL))
    daemon.lay("POST", f"{PATH}/drafts", (201, {"version": "v9", "state": "draft"}))
    daemon.lay("POST", f"{PATH}/versions/v9/publish", (200, {**SUMMARY, "active_version": "v9"}))
    exported = run("models", "export", "coding", "--version", "v1", "--url", daemon.url).stdout
    (folder / "coding.json").write_text(exported, encoding="utf-8")

    kept = run("models", "import", "coding.json", "--url", daemon.url)
    published = run("models", "import", "coding.json", "--publish", "--url", daemon.url)

    assert json.loads(exported) == ARTIFACT
    assert kept.stdout == "v9 is a version of coding: draft\n"
    assert published.stdout == "v9 answers for coding\n"
    assert [asked.body for asked in daemon.asked[1:]] == [ARTIFACT, ARTIFACT, {}]


@pytest.mark.parametrize(
    "text",
    [
        MODEL_TOML,
        'route_root = "fit"\n',
        '[[models]]\nid = "other"\n[[models]]\nid = "coding"\nroute_root = "fit"\n',
        '{"id": "coding", "route_root": "fit"}',
    ],
    ids=["toml", "without an id", "one of a configuration's", "json"],
)
def test_a_draft_is_read_from_what_people_have(text: str, daemon: FakeDaemon, run: Run, folder: Path) -> None:
    daemon.lay("POST", f"{PATH}/drafts", (201, {"version": "v9", "state": "draft"}))
    (folder / "model").write_text(text, encoding="utf-8")

    result = run("models", "draft", "coding", "model", "--url", daemon.url)

    assert (result.exit_code, result.stdout) == (0, "v9 is a version of coding: draft\n")
    assert daemon.asked[0].body == ARTIFACT


@pytest.mark.parametrize(
    ("command", "text", "problem"),
    [
        (("draft", "coding"), "= what", "model is neither JSON nor TOML"),
        (("draft", "coding"), "{", "model is neither JSON nor TOML"),
        (("import",), 'route_root = "fit"\n', "model does not say which model it is: it has no id"),
        (("draft", "coding"), '[[models]]\nid = "a"\n', "model has no single model coding; its models: a"),
        (("import",), '[[models]]\nid = "a"\n[[models]]\nid = "b"\n', "its models: a, b"),
    ],
)
def test_a_file_that_holds_no_model_is_told(
    command: tuple[str, ...], text: str, problem: str, daemon: FakeDaemon, run: Run, folder: Path
) -> None:
    (folder / "model").write_text(text, encoding="utf-8")
    result = run("models", *command, "model", "--url", daemon.url)
    assert result.exit_code == 1
    assert problem in result.stderr
    assert daemon.asked == []


def test_a_file_that_is_not_there_is_told(daemon: FakeDaemon, run: Run) -> None:
    result = run("models", "draft", "coding", "nowhere.toml", "--url", daemon.url)
    assert result.exit_code == 1
    assert "cannot read nowhere.toml: No such file or directory\n" in result.stderr


def test_a_version_is_rolled_out_step_by_step(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("POST", f"{PATH}/versions/sha256:ab/canary", (200, CANARY))
    daemon.lay("POST", f"{PATH}/versions/sha256:ab/publish", (200, {**SUMMARY, "active_version": "sha256:ab"}))

    tried = run("models", "canary", "coding", "sha256:ab", "12.5", "--url", daemon.url)
    published = run("models", "publish", "coding", "sha256:ab", "--url", daemon.url)

    assert tried.stdout == "v1 answers for coding, and v2 for 12.5 % of the sessions\n"
    assert published.stdout == "sha256:ab answers for coding\n"
    assert [asked.body for asked in daemon.asked] == [{"percent": 12.5}, {}]


def test_a_share_is_no_more_than_everybody(daemon: FakeDaemon, run: Run) -> None:
    result = run("models", "canary", "coding", "v2", "101", "--url", daemon.url)
    assert result.exit_code == 2
    assert daemon.asked == []


def test_what_the_daemon_refuses_is_told_in_its_words(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("POST", f"{PATH}/versions/v8/publish", error_answer(409, "there is no version v8", "version_conflict"))
    result = run("models", "publish", "coding", "v8", "--url", daemon.url)
    assert (result.exit_code, result.stderr) == (1, "wardwright: there is no version v8 (version_conflict)\n")


def test_conditions_go_along_with_what_they_are_for(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("POST", f"{PATH}/versions/v2/publish", (200, {**SUMMARY, "active_version": "v2"}))
    daemon.lay("POST", f"{PATH}/versions/v2/rollback", (200, SUMMARY))

    run("models", "publish", "coding", "v2", "--instead-of", "v1", "--url", daemon.url)
    run("models", "rollback", "coding", "--undo", "v2", "--url", daemon.url)

    assert [asked.body for asked in daemon.asked] == [{"instead_of": "v1"}, {}]


def test_a_model_is_retired(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("DELETE", PATH, (200, {**SUMMARY, "status": "retired", "active_version": None}))
    result = run("models", "retire", "coding", "--url", daemon.url)
    assert result.stdout == "coding is retired: nothing answers for it\n"
