"""What a run captures: nothing, or what was asked and what of the answer left, without secrets."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from supervisors.testing import settle
from tests.wardwright.runtime.providers import BROKEN, Piece, Scripted, Watched
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import Stage, cascade, chat_request, event_names, stage
from wardwright.domain.caller import Caller
from wardwright.domain.errors import InternalError, StorageUnavailable, WardwrightError
from wardwright.domain.policy import RedactionRule, StreamRule
from wardwright.domain.route import ModelDefinition
from wardwright.providers.canned import ScriptedFailure
from wardwright.receipts.events import ContentCaptured
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Captured
from wardwright.runtime.content_book import ContentBook

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

KEY = "sk-proj-abcdefghijklmnop0123"
PIECES = ["my key is sk-proj-abcd", "efghijklmnop", "0123, and mail ", "bob@exam", "ple.com"]
REDACTED = "my key is [redacted:api_key], and mail [redacted:email]"


def full(*names: str, **changes: Any) -> ModelDefinition:
    return msgspec.structs.replace(cascade(*(names or ("first",))), capture="full_session", **changes)


async def ask(on: Stage, *, stream: bool = True, **fields: Any) -> RecordingResponder:
    responder = RecordingResponder()
    request = chat_request(stream=stream, **fields)
    await on.gateway.chat(request, caller=Caller(), request_id="req_1", responder=responder)
    return responder


def captured(on: Stage, responder: RecordingResponder) -> tuple[Captured, Captured]:
    """What the receipt has of the request and of the answer."""
    on.store.closing(responder.receipt_id)
    content = fold(on.store.entries(responder.receipt_id)).content
    assert content is not None
    assert content.request is not None
    assert content.answer is not None
    return content.request, content.answer


def calls(*arguments: str) -> Sequence[Piece]:
    """A streamed tool call whose arguments come in pieces."""
    first = {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "send", "arguments": ""}}]}
    return [first, *({"tool_calls": [{"index": 0, "function": {"arguments": text}}]} for text in arguments)]


class TestMetadata:
    async def test_nothing_is_captured_unless_the_model_says_so(self) -> None:
        async with stage(Watched()) as on:
            responder = await ask(on)
            assert "content.captured" not in event_names(on.store.events(responder.receipt_id))
            stored = b"".join(on.store.payloads(responder.receipt_id))
            assert b'"hi"' not in stored
            assert b"one two" not in stored


class TestFullSession:
    async def test_what_was_asked_and_streamed_is_there_without_its_secrets_however_it_came(self) -> None:
        async with stage(Scripted("first", PIECES), definition=full()) as on:
            parts = [{"type": "text", "text": text} for text in ("a key: sk-proj-abcd", "efghijklmnop0123")]
            responder = await ask(on, messages=[{"role": "user", "content": parts}], user="jane", temperature=0.5)
            assert responder.text == "".join(PIECES), "the client gets what the model said"

            request, answer = captured(on, responder)
            assert request.content == {
                "model": "test-model",
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "a key: [redacted:api_key]"},
                            {"type": "text", "text": ""},
                        ],
                    }
                ],
                "stream": True,
                "temperature": 0.5,
            }
            assert answer.content == {"choices": [{"index": 0, "text": REDACTED, "finish_reason": "stop"}]}
            assert (request.redactions, answer.redactions) == ({"api_key": 1}, {"api_key": 1, "email": 1})
            assert b"sk-proj" not in b"".join(on.store.payloads(responder.receipt_id))

    async def test_a_whole_answer_is_captured_the_same_way(self) -> None:
        async with stage(Scripted("first", PIECES), definition=full()) as on:
            _, answer = captured(on, await ask(on, stream=False))
            assert answer.content == {"choices": [{"index": 0, "text": REDACTED, "finish_reason": "stop"}]}

    async def test_arguments_of_tools_are_read_as_what_they_mean(self) -> None:
        spelled = ['{"to": "bob\\u0040exa', 'mple.com", "password": "open sesame", ', '"n": 1}']
        async with stage(Scripted("first", calls(*spelled)), definition=full()) as on:
            _, answer = captured(on, await ask(on))
            [call] = answer.content["choices"][0]["tool_calls"]
            assert (call["id"], call["name"]) == ("call_1", "send")
            assert msgspec.json.decode(call["arguments"]) == {
                "to": "[redacted:email]",
                "password": "[redacted:secret]",
                "n": 1,
            }

    async def test_rules_of_the_models_own_hold_too(self) -> None:
        rules = (RedactionRule(id="number", contains="two"),)
        async with stage(Watched(), definition=full(redaction=rules)) as on:
            _, answer = captured(on, await ask(on))
            assert answer.content["choices"][0]["text"] == "one [redacted:number] three"

    async def test_the_request_is_on_disk_before_a_provider_is_called(self) -> None:
        stored: list[str] = []

        def look(call: object) -> None:
            [receipt] = on.store.all_receipts()
            stored.extend(event_names([entry.event for entry in receipt]))

        async with stage(Watched(on_call=look), definition=full()) as on:
            await ask(on)
        assert stored == ["receipt.opened", "content.captured", "attempt.started"]

    async def test_what_policy_withheld_is_not_captured(self) -> None:
        rule = StreamRule(id="r", action="block", contains="three")
        async with stage(Scripted("first", ["one ", "two ", "three"]), definition=full(stream_rules=(rule,))) as on:
            responder = RecordingResponder()
            with pytest.raises(WardwrightError):
                await on.gateway.chat(chat_request(), caller=Caller(), request_id="req_1", responder=responder)
            _, answer = captured(on, responder)
            assert answer.content == {"choices": [{"index": 0, "text": "one two "}]}

    async def test_what_a_rule_changed_is_captured_as_the_client_got_it(self) -> None:
        rule = StreamRule(id="r", action="rewrite", contains="two", replacement="2")
        async with stage(Watched(), definition=full(stream_rules=(rule,))) as on:
            responder = await ask(on)
            _, answer = captured(on, responder)
            assert answer.content["choices"][0]["text"] == responder.text == "one 2 three"

    async def test_an_attempt_of_which_nothing_left_is_not_captured(self) -> None:
        first = Watched("first", failures=[ScriptedFailure(BROKEN)])
        async with stage(first, Watched("second", "from the second"), definition=full("first", "second")) as on:
            _, answer = captured(on, await ask(on))
            assert answer.content["choices"][0]["text"] == "from the second"

    async def test_of_a_client_that_left_there_is_what_it_was_sent(self) -> None:
        async with stage(Watched(chunk_delay_s=1.0), definition=full()) as on:

            async def leave(what: str) -> None:
                responder.leave()

            responder = RecordingResponder(on_send=leave)
            await on.gateway.chat(chat_request(), caller=Caller(), request_id="req_1", responder=responder)
            await settle()
            _, answer = captured(on, responder)
            assert answer.content["choices"][0]["text"].strip() == "one"

    async def test_an_answer_that_cannot_be_recorded_is_not_given(self) -> None:
        async with stage(Watched(), definition=full()) as on:
            on.store.fail_always()
            responder = RecordingResponder()
            with pytest.raises(StorageUnavailable):
                await on.gateway.chat(chat_request(), caller=Caller(), request_id="req_1", responder=responder)
            assert responder.frames == []

    async def test_what_cannot_be_read_cannot_be_redacted_and_is_not_kept(self) -> None:
        async with stage(Watched(), definition=full()) as on:
            odd = chat_request(stream=False)
            odd.fields["deep"] = msgspec.Raw(b"[" * 5000 + b"]" * 5000)
            odd.fields["far"] = msgspec.Raw(b"1e999")
            odd.fields["half"] = msgspec.Raw(rb'"\ud800"')
            responder = RecordingResponder()
            await on.gateway.chat(odd, caller=Caller(), request_id="req_1", responder=responder)
            request, answer = captured(on, responder)
            unread = {name: request.content[name] for name in ("deep", "far", "half")}
            assert unread == dict.fromkeys(unread, "[redacted:unreadable]")
            assert answer.content["choices"][0]["text"] == "one two three"

    async def test_an_answer_of_another_form_is_given_as_it_came_and_kept_without_its_secrets(self) -> None:
        odd = {"tool_calls": {"nested": KEY}}
        async with stage(Scripted("first", [odd]), definition=full()) as on:
            responder = await ask(on, stream=False)
            assert responder.completion is not None
            assert KEY.encode() in bytes(responder.completion.fields["choices"])
            _, answer = captured(on, responder)
            [choice] = answer.content["choices"]
            assert choice["message"]["tool_calls"] == {"nested": "[redacted:api_key]"}

    @pytest.mark.parametrize("part", ["asked", "answered"])
    async def test_a_bug_in_it_ends_the_run_and_the_receipt_is_closed(
        self, part: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> ContentCaptured:
            raise ZeroDivisionError

        monkeypatch.setattr(ContentBook, part, fail)
        async with stage(Watched(), definition=full()) as on:
            responder = RecordingResponder()
            with pytest.raises(InternalError):
                await on.gateway.chat(chat_request(), caller=Caller(), request_id="req_1", responder=responder)
            assert on.store.closing(responder.receipt_id).status == "internal_error"
            assert not responder.is_finished
