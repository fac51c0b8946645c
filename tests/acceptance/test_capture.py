"""Content is kept where a model says so, without its secrets, and nowhere else."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config_of
from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream, answer_text
from tests.support.waiting import wait_until
from tests.wardwright.receipts.receipt_samples import full_story, numbered_salts, sealed
from wardwright.app.storage import storage_at
from wardwright.receipts.chain import verify
from wardwright.runtime.identity import first_receipt_id

KEY = "sk-proj-6f1c0a2e93b7d4c1e80d"
EMAIL = "jane.doe@example.com"
CARD = "4111 1111 1111 1111"
STAFF = "EMP-420017"
PLANTED = (KEY, EMAIL, CARD, STAFF, "open sesame")
FULL = """
capture = "full_session"
redaction = [{ id = "staff", regex = 'EMP-\\d{6}' }]
"""


def configuration(upstream: Upstream, kind: str) -> str:
    """Two models over the same target, of which `full` keeps content."""
    text = gateway_config_of(upstream, {"quiet": ["ok"], "full": ["ok"]}, extra=f'[storage]\nkind = "{kind}"\n')
    head, full = text.split('id = "full"\n')
    return f'{head}id = "full"\n{FULL}{full}'


def ask(daemon: Daemon, model: str, *, stream: bool) -> str:
    """Ask with secrets in every place of a request; returns the receipt's id."""
    messages = [
        {"role": "system", "content": f"The key is {KEY}."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "write to jane.doe@exam"}, {"type": "text", "text": "ple.com"}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {
                        "name": "pay",
                        "arguments": json.dumps({"card": CARD, "password": "open sesame", "by": STAFF}),
                    },
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": f"paid by {STAFF}"},
    ]
    answer = daemon.chat(model=model, messages=messages, stream=stream)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-wardwright-receipt-id"]


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_content_is_kept_without_its_secrets_where_a_model_says_so(
    upstream: Upstream, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    sent = tmp_path / "sent.jsonl"
    sink = f'[[sinks]]\nid = "archive"\nkind = "jsonl"\npath = "{sent}"\n'
    daemon = start_daemon(configuration(upstream, "file") + sink)
    for stream in (False, True):
        quiet, full = (daemon.receipt(ask(daemon, model, stream=stream)) for model in ("quiet", "full"))
        assert "content" not in quiet
        request, answer = full["content"]["request"], full["content"]["answer"]
        system, user, call, tool = request["content"]["messages"]
        assert system["content"] == "The key is [redacted:api_key]."
        assert [part["text"] for part in user["content"]] == ["write to [redacted:email]", ""]
        assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {
            "card": "[redacted:card]",
            "password": "[redacted:secret]",
            "by": "[redacted:staff]",
        }
        assert tool["content"] == "paid by [redacted:staff]"
        assert answer["content"]["choices"][0]["text"] == answer_text(3)
        assert request["redactions"] == {"api_key": 1, "email": 1, "card": 1, "secret": 1, "staff": 2}
    wait_until(lambda: sent.exists() and full["receipt_id"] in sent.read_text(), "the receipt is not sent on")
    records = [json.loads(line) for line in sent.read_text().splitlines()]
    assert full["content"] in [record.get("content") or record.get("receipt", {}).get("content") for record in records]
    stored = bytes_of(tmp_path / "daemon" / "data") + sent.read_bytes()
    assert stored.count(answer_text(3).encode()) >= 2, "what is no secret is there, of one model"
    assert [secret for secret in PLANTED if secret.encode() in stored] == []
    assert [secret for secret in PLANTED if any(secret in line for line in daemon.raw_log)] == []


def verified(kind: str, folder: Path) -> int:
    """How many receipts there are; each must be what was written."""
    reader = storage_at(kind, folder).read()
    ids = [entries[0].receipt_id for entries in reader.newest()]
    assert [verify(reader.payloads(receipt_id)) for receipt_id in ids] == [None] * len(ids)
    reader.close()
    return len(ids)


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_person_is_erased_for_good_and_every_chain_holds(
    upstream: Upstream, start_daemon: StartDaemon, tmp_path: Path, kind: str
) -> None:
    data = tmp_path / "daemon" / "data"
    with ExitStack() as first_life:
        daemon = first_life.enter_context(run_daemon(tmp_path / "daemon", configuration(upstream, kind)))

        def say(who: str) -> dict[str, Any]:
            headers = {"x-wardwright-user-id": f"{who}-the-user", "x-wardwright-session-id": f"{who}-the-session"}
            body = {"model": "full", "messages": [{"role": "user", "content": f"{who} said this"}]}
            with daemon.client() as client:
                answer = client.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            return daemon.receipt(answer.headers["x-wardwright-receipt-id"])

        def erase(**options: Any) -> dict[str, Any]:
            with daemon.client() as client:
                answer = client.post("/admin/receipts/erase", json={"user_id": "anna-the-user", **options})
            assert answer.status_code == 200, answer.text
            done: dict[str, Any] = answer.json()
            return done

        erased, kept, also_erased = say("anna"), say("bert"), say("anna")
        assert erase(dry_run=True) == {"receipts": 2, "entries": 6, "open": 0, "next_cursor": None}
        assert b"anna" in bytes_of(data)
        assert erase() == {"receipts": 2, "entries": 6, "open": 0, "next_cursor": None}
        stored = bytes_of(data)
        assert (b"anna" in stored, b"bert said this" in stored) == (False, True)
        assert say("anna")["session_turn"] == 3, "a session that is awake goes on"
        assert erase()["receipts"] == 1
        assert verified(kind, data) == 4

    daemon = start_daemon(configuration(upstream, kind))
    assert daemon.receipts(consuming_user_id="anna-the-user") == daemon.receipts(session_id="anna-the-session") == []
    assert [one["receipt_id"] for one in daemon.receipts(consuming_user_id="bert-the-user")] == [kept["receipt_id"]]
    for before in (erased, also_erased):
        after = daemon.receipt(before["receipt_id"])
        assert set(after["caller"]) == {"erased"}
        assert [set(after["content"][part]) for part in ("request", "answer")] == [{"erased"}] * 2
        for stays in ("decision", "attempts", "events", "final", "created_at", "model_version"):
            assert after[stays] == before[stays]
    assert daemon.receipt(kept["receipt_id"]) == kept
    assert b"anna" not in bytes_of(data)


def test_content_goes_after_its_days_and_its_receipt_stays(
    upstream: Upstream, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    old, young = (f"{first_receipt_id(time.time() - days * 86_400)}0123456789abc" for days in (3, 1))
    data = tmp_path / "daemon" / "data"
    store = storage_at("file", data).open()
    for receipt_id in (old, young):
        store.append(sealed(full_story(), receipt_id=receipt_id, draw_salt=numbered_salts()))
    store.close()
    config = gateway_config_of(upstream, {"m": ["ok"]}, extra="[storage]\nretention = { content_days = 2 }\n")
    daemon = start_daemon(config)
    wait_until(lambda: "erased" in daemon.receipt(old)["content"]["answer"], "the old content stays")
    receipt = daemon.receipt(old)
    assert set(receipt["content"]["request"]) == {"redactions", "erased"}
    assert receipt["caller"]["consuming_user_id"]["value"] == "u1"
    assert daemon.receipt(young)["content"]["answer"]["content"]["choices"][0]["text"] == "ho"
    assert verified("file", data) == 2
