"""Rolling out a version while the daemon serves: nothing that runs is disturbed, nothing that was decided is forgotten."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import StartDaemon, gateway_config, gateway_config_of
from tests.acceptance.daemon import Daemon
from tests.acceptance.load import streams
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

MODELS = "/admin/wardwright-models"
STREAMS = 15


def post(daemon: Daemon, path: str, body: object = None) -> tuple[int, Any]:
    with daemon.client() as client:
        answer = client.post(f"{MODELS}/{path}", json=body)
        return answer.status_code, answer.json()


def draft(daemon: Daemon, version: str, *targets: str, model: str = "test-model") -> None:
    artifact = {"version": version, "cascades": [{"id": "in-order", "models": list(targets)}]}
    status, answer = post(daemon, f"{model}/drafts", artifact)
    assert status == 201, answer


def decide(daemon: Daemon, path: str, body: object = None) -> dict[str, Any]:
    status, answer = post(daemon, path, body)
    assert status == 200, answer
    decided: dict[str, Any] = answer
    return decided


def version_of(daemon: Daemon, model: str = "test-model", **headers: str) -> str:
    """The version that answers a request now."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    with daemon.client() as client:
        answer = client.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-wardwright-model-version"]


def replace(file: Path, text: str) -> None:
    """Put a file in the place of another in one step: of one that is being written, anything may be read."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_a_publication_under_load_disturbs_nobody(upstream: Upstream, start_daemon: StartDaemon, backend: str) -> None:
    config = gateway_config_of(upstream, {"test-model": ["ok-n20-p60"], "other": ["ok"]}, backend=backend)
    daemon = start_daemon(config)
    draft(daemon, "v2", "up/0-ok")
    before = daemon.actors()

    with streams(daemon, STREAMS) as seen, streams(daemon, STREAMS, model="other") as others:
        assert decide(daemon, "test-model/versions/v2/publish")["active_version"] == "v2"
        assert version_of(daemon) == "v2"

    assert all(one.done for one in (*seen, *others))
    assert {daemon.receipt(one.receipt_id)["model_version"] for one in seen} == {"v1"}
    assert {daemon.receipt(one.receipt_id)["model_version"] for one in others} == {"v1"}
    after = daemon.actors()
    assert after.keys() == before.keys()
    assert all(actor["restarts"] == 0 for actor in after.values())


def test_decisions_outlive_restarts_and_an_unchanged_file_takes_none_back(
    upstream: Upstream, start_daemon: StartDaemon, backend: str
) -> None:
    config = gateway_config_of(upstream, {"test-model": ["ok", "ok-n3", "ok-n4"]}, backend=backend)
    first = start_daemon(config)
    draft(first, "v2", "up/1-ok-n3")
    draft(first, "v3", "up/2-ok-n4")
    decide(first, "test-model/versions/v2/publish")
    decide(first, "test-model/versions/v3/canary", {"percent": 50})
    sessions = [f"session-{number}" for number in range(30)]
    sides = {name: version_of(first, **{"x-wardwright-session-id": name}) for name in sessions}
    assert set(sides.values()) == {"v2", "v3"}
    history = first.get(f"{MODELS}/test-model/versions")
    first.process.kill()
    first.process.wait()

    second = start_daemon(config)
    assert second.get(f"{MODELS}/test-model/versions") == history
    assert {name: version_of(second, **{"x-wardwright-session-id": name}) for name in sessions} == sides
    (receipt,) = second.receipts(limit=1)
    (side,) = second.receipt(receipt["receipt_id"])["canaries"]
    assert (side["by"], side["percent"], side["version"]) == ("session", 50, "v3")
    assert side["taken"] == (receipt["model_version"] == "v3")
    decide(second, "test-model/rollback")
    assert decide(second, "test-model/rollback")["active_version"] == "v1"
    assert version_of(second) == "v1"


def test_the_catalog_may_be_killed_while_it_decides(
    upstream: Upstream, start_daemon: StartDaemon, backend: str
) -> None:
    daemon = start_daemon(gateway_config_of(upstream, {"test-model": ["ok-n20-p60", "ok"]}, backend=backend))
    draft(daemon, "v2", "up/1-ok")
    outcomes: list[tuple[int, Any]] = []
    with streams(daemon, STREAMS) as seen:
        for number in range(6):
            version = ("v2", "v1")[number % 2]
            publish = threading.Thread(
                target=lambda version=version: outcomes.append(post(daemon, f"test-model/versions/{version}/publish"))
            )
            publish.start()
            daemon.kill_actor("wardwright/catalog")
            publish.join(60)
    assert all(one.done for one in seen)
    assert {status for status, _ in outcomes} <= {200, 503}
    active = daemon.get(f"{MODELS}/test-model")["active_version"]
    published = [s for s in daemon.get(f"{MODELS}/test-model/versions")["history"] if s["what"] == "published"]
    assert active == published[0]["version"], "what is shown is what was decided"
    upstream.script("ok")
    assert version_of(daemon) == active


def test_a_changed_file_is_followed_without_a_restart(
    upstream: Upstream, start_daemon: StartDaemon, backend: str
) -> None:
    config = gateway_config_of(upstream, {"test-model": ["ok-n20-p60"], "other": ["ok"]}, backend=backend)
    daemon = start_daemon(config)
    file = daemon.folder / "wardwright.toml"
    changed = gateway_config_of(upstream, {"test-model": ["ok"], "new": ["ok-n3"]}, backend=backend)
    with streams(daemon, STREAMS) as seen:
        replace(file, changed.replace('version = "v1"', 'version = "v2"'))
        daemon.wait_logged("the configuration is followed")
        assert version_of(daemon) == "v2"
        assert version_of(daemon, "new") == "v2"
        assert daemon.chat(model="other").json()["error"]["code"] == "model_not_found"
    assert all(one.done for one in seen)
    assert "wardwright/models/other" not in daemon.actors()
    assert daemon.actors()["wardwright/models/new/model"]["status"] == "running"


def test_a_file_with_problems_is_not_followed_and_all_of_them_are_logged(
    upstream: Upstream, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok"))
    file = daemon.folder / "wardwright.toml"
    good = file.read_text()
    replace(file, good.replace("context_window = 8192", 'context_window = "big"').replace("base_url", "base_ulr"))
    daemon.wait_logged("the configuration has problems, so the one that runs stays")

    def told() -> int:
        return sum(line.get("event") == "a problem of the configuration" for line in daemon.log)

    wait_until(lambda: told() == 3, "the file's problems are not told")
    assert version_of(daemon) == "v1"
    replace(file, good + "\n[server]\ndrain_seconds = 3\n")
    daemon.wait_logged("these keys take effect at the next start")


def test_a_provider_that_moves_is_followed_and_streams_end_where_they_began(
    upstream: Upstream, start_daemon: StartDaemon, backend: str
) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok-n20-p60", backend=backend))
    with Upstream() as elsewhere, streams(daemon, STREAMS) as seen:
        file = daemon.folder / "wardwright.toml"
        replace(file, file.read_text().replace(upstream.url, elsewhere.url))
        daemon.wait_logged("the configuration is followed")
        assert daemon.chat().status_code == 200
        assert len(elsewhere.calls) == 1
    assert all(one.done for one in seen)
    assert daemon.actors()["wardwright/providers/up"]["restarts"] == 0


def test_sighup_has_the_file_read_again(upstream: Upstream, start_daemon: StartDaemon, backend: str) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok", backend=backend))
    daemon.process.send_signal(signal.SIGHUP)
    file = daemon.folder / "wardwright.toml"
    replace(file, file.read_text().replace('version = "v1"', 'version = "v2"'))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_logged("the configuration is followed")
    assert version_of(daemon) == "v2"
    assert daemon.process.poll() is None


def test_a_label_that_comes_to_name_other_content_refuses_the_start(
    upstream: Upstream, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    first = start_daemon(gateway_config(upstream, "ok"))
    assert first.stop() == 0
    file = first.folder / "wardwright.toml"
    replace(file, gateway_config(upstream, "ok-n3"))
    ended = subprocess.run(
        [sys.executable, "-m", "wardwright.cli.main", "serve", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**first_environment(first), "WARDWRIGHT_BIND": "127.0.0.1:0"},
    )
    assert ended.returncode == 2
    assert 'models.test-model.version: expected a version that names this content, got "v1"' in ended.stderr
    assert "Traceback" not in ended.stderr


def first_environment(daemon: Daemon) -> dict[str, str]:
    """What a daemon after this one would be started with."""
    return {**os.environ, "WARDWRIGHT_DATA_DIR": str(daemon.folder / "data")}
