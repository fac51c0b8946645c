"""`wardwright simulate`: what it sends, and how it tells the answer."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wardwright.receipts.events import Closed, Opened

from .conftest import Run
from .fake_daemon import FakeDaemon, error_answer
from .samples import OPENED, receipt

SIMULATED: Opened = msgspec.structs.replace(OPENED, simulation=True)
RECEIPT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(receipt(SIMULATED, Closed("simulated", 0))))
PATH = "/v1/wardwright/simulate"


def test_the_decision_is_told_as_a_receipt_is(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("POST", PATH, (200, {"receipt": RECEIPT}))

    result = run("simulate", "coding-balanced", "--tokens", "9000", "--version", "v2", "--url", daemon.url)

    assert result.exit_code == 0
    assert daemon.asked[0].body == {
        "model": "coding-balanced",
        "request": {"messages": [{"role": "user", "content": "?"}]},
        "facts": {"request": {"estimated_prompt_tokens": 9000}},
        "version": "v2",
    }
    assert "rcpt_0001 simulated" in result.stdout
    assert "no provider was to be called" in result.stdout
    assert "local/small at local, window 8192" in result.stdout


def test_the_request_can_come_from_a_file(daemon: FakeDaemon, run: Run, folder: Path) -> None:
    request = {"messages": [{"role": "user", "content": "hello"}], "tools": []}
    (folder / "request.json").write_text(json.dumps(request))
    daemon.lay("POST", PATH, (200, {"receipt": RECEIPT}))

    result = run("simulate", "m", "--request", "request.json", "--json", "--url", daemon.url)

    assert daemon.asked[0].body == {"model": "m", "request": request}
    assert json.loads(result.stdout) == RECEIPT


@pytest.mark.parametrize("content", [None, "[]", "{"])
def test_a_file_that_holds_no_request_is_wrong_use(run: Run, folder: Path, content: str | None) -> None:
    if content is not None:
        (folder / "request.json").write_text(content)
    result = run("simulate", "m", "--request", "request.json", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "--request" in result.stderr


def test_a_refusal_is_passed_on(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("POST", PATH, error_answer(404, "unknown model 'm'; models served here: a", "model_not_found"))
    result = run("simulate", "m", "--url", daemon.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "unknown model 'm'; models served here: a (model_not_found)" in result.stderr
