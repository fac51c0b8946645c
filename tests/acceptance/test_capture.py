"""Content is kept where a model says so, without its secrets, and nowhere else."""

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config_of
from tests.acceptance.daemon import Daemon
from tests.support.upstream import Upstream, answer_text

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


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_content_is_kept_without_its_secrets_where_a_model_says_so(
    upstream: Upstream, start_daemon: StartDaemon, tmp_path: Path, kind: str
) -> None:
    daemon = start_daemon(configuration(upstream, kind))
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
    stored = bytes_of(tmp_path / "daemon" / "data")
    assert stored.count(answer_text(3).encode()) >= 2, "what is no secret is there, of one model"
    assert [secret for secret in PLANTED if secret.encode() in stored] == []
    assert [secret for secret in PLANTED if any(secret in line for line in daemon.raw_log)] == []
