"""A run whose stream breaks behind its release, below a selector that has it gone on with: one answer for the client, a seam in the receipt."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from tests.wardwright.runtime.providers import BROKEN, REFUSED, Watched
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import Stage, chat_request, stage
from wardwright.domain.caller import Caller
from wardwright.domain.errors import AnswerRefused, Failure, ProviderError
from wardwright.domain.policy import StreamAction, StreamRule
from wardwright.domain.route import Cascade, ModelDefinition, Price, Target
from wardwright.domain.stream import Finish, Frame, Start, ToolArguments, UsageReport
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.canned import ScriptedFailure
from wardwright.receipts.events import AttemptFinished, Resumed
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt, Seam
from wardwright.wire.openai import parse_chunk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

WHOLE = "one two three four"


def piece(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}


def texts(*pieces: str) -> list[dict[str, Any]]:
    return [piece({"content": one}) for one in pieces]


def calls(*pieces: str) -> list[dict[str, Any]]:
    begun = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    return [
        piece({"tool_calls": [begun]}),
        *(piece({"tool_calls": [{"index": 0, "function": {"arguments": one}}]}) for one in pieces),
    ]


END = [piece({}, "length")]
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}


class Speaker(Watched):
    """Says its chunks, one a read, and then fails if it has a failure to fail with; silent when that is None and there is no end."""

    def __init__(self, name: str, *said: dict[str, Any], then: Failure | None = None, refusing: Failure | None = None):
        super().__init__(name, failures=[] if refusing is None else [ScriptedFailure(refusing)] * 9)
        self._said = said
        self._then = then
        self._refuses = refusing is not None

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        async with super().stream(call) as batches, aclosing(self._saying()) as mine:
            yield batches if self._refuses else mine

    async def _saying(self) -> AsyncGenerator[Sequence[Frame], None]:
        head = {"id": f"id-of-{self.info.id}", "created": 1}
        for one in (piece({"role": "assistant", "content": ""}), *self._said):
            yield (parse_chunk(msgspec.json.encode({**head, **one})),)
        if self._then is not None:
            raise ProviderError(self._then)
        if not any(choice["finish_reason"] for one in self._said for choice in one["choices"]):
            await anyio.sleep_forever()


def model(*names: str, prefill: Sequence[str] = (), rules: Sequence[StreamRule] = (), **fields: Any) -> ModelDefinition:
    targets = tuple(
        Target(
            f"{name}/m", name, f"{name}-up", 8192, frozenset({"prefill"} if name in prefill else {"chat"}), Price(1, 1)
        )
        for name in names
    )
    chooser = Cascade("in-order", tuple(target.id for target in targets), resume=True)
    return replace(
        ModelDefinition("test-model", "v1", "in-order", (chooser,), targets, stream_rules=tuple(rules)), **fields
    )


def rule(action: StreamAction, contains: str, **fields: Any) -> StreamRule:
    return StreamRule(id=action, action=action, contains=contains, **fields)


def receipt_of(on: Stage, responder: RecordingResponder) -> Receipt:
    on.store.closing(responder.receipt_id)
    return fold(on.store.entries(responder.receipt_id))


def course(receipt: Receipt) -> list[tuple[str, str, int]]:
    return [(attempt.model, attempt.status, attempt.released_bytes) for attempt in receipt.attempts]


def broken(name: str = "first", *said: str) -> Speaker:
    return Speaker(name, *texts(*(said or ("one ", "two "))), then=BROKEN)


class TestAnswersThatAreGoneOnWith:
    async def test_who_takes_a_beginning_goes_on_from_it(self) -> None:
        first, second = broken(), Speaker("second", *texts(" three", " four"), *END, USAGE)
        async with stage(first, second, definition=model("first", "second", prefill=["second"])) as on:
            responder = RecordingResponder()
            await on.ask(responder)

            assert responder.text == WHOLE
            assert [event for event in responder.events if isinstance(event, Start | Finish)] == [
                Start(0),
                Finish(0, "length"),
            ]
            assert {bytes(frame.fields["id"]) for frame in responder.frames} == {b'"id-of-first"'}
            [call] = second.calls
            assert call.is_continuation
            assert [(message.role, message.content) for message in call.request.messages] == [
                ("user", "hi"),
                ("assistant", "one two"),
            ]
            receipt = receipt_of(on, responder)
            assert receipt.seams == (Seam(2, 1, "first/m", "second/m", "prefill", 8),)
            assert course(receipt) == [("first/m", "failed", 8), ("second/m", "completed", 10)]
            assert receipt.final is not None
            assert (receipt.final.status, receipt.final.selected_model) == ("completed", "second/m")
            assert receipt.final.released_bytes == len(WHOLE)
            heard = receipt.attempts[0].usage
            assert heard is not None
            [told] = [event.usage for event in responder.events if isinstance(event, UsageReport)]
            assert (told.prompt_tokens, told.completion_tokens) == (
                heard.prompt_tokens + 7,
                heard.completion_tokens + 3,
            )
            assert receipt.final.usage is not None
            assert told.completion_tokens == receipt.final.usage.completion_tokens
            assert receipt.attempts[1].cost_usd is not None

    async def test_who_takes_none_has_to_repeat_it(self) -> None:
        first, second = broken(), Speaker("second", *texts("one", " two three four"), *END)
        async with stage(first, second, definition=model("first", "second")) as on:
            responder = RecordingResponder()
            await on.ask(responder)

            assert responder.text == WHOLE
            [call] = second.calls
            assert not call.is_continuation
            assert len(call.request.messages) == 1
            receipt = receipt_of(on, responder)
            assert receipt.seams == (Seam(2, 1, "first/m", "second/m", "repeat", 8),)
            assert [attempt.repeated_bytes for attempt in receipt.attempts] == [0, 8]
            assert course(receipt)[-1] == ("second/m", "completed", 10)

    async def test_silence_breaks_a_stream_too(self) -> None:
        first, second = Speaker("first", *texts("one ", "two ")), Speaker("second", *texts(" three four"), *END)
        async with stage(first, second, definition=model("first", "second", prefill=["second"])) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == WHOLE

    async def test_whoever_strays_is_left_for_the_next(self) -> None:
        first, second, third = (
            broken(),
            Speaker("second", *texts("One two"), *END),
            Speaker("third", *texts(WHOLE), *END),
        )
        async with stage(first, second, third, definition=model("first", "second", "third")) as on:
            responder = RecordingResponder()
            await on.ask(responder)

            assert responder.text == WHOLE
            receipt = receipt_of(on, responder)
            assert [(seam.attempt, seam.from_attempt) for seam in receipt.seams] == [(2, 1), (3, 1)]
            failure = receipt.attempts[1].failure
            assert failure is not None
            assert failure.failure_class == "not_resumed"
            assert on.gate("second").is_well, "it did nothing wrong"

    async def test_who_goes_on_may_break_too(self) -> None:
        first, second = broken(), Speaker("second", *texts("three "), then=BROKEN)
        third = Speaker("third", *texts("four"), *END)
        definition = model("first", "second", "third", prefill=["second", "third"])
        async with stage(first, second, third, definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == WHOLE
            assert third.calls[0].request.messages[-1].content == "one two three"
            assert [(seam.from_attempt, seam.text_bytes) for seam in receipt_of(on, responder).seams] == [
                (1, 8),
                (2, 14),
            ]

    async def test_no_half_tool_call_leaves_and_the_next_target_makes_it_whole(self) -> None:
        first = Speaker("first", *texts("I call "), *calls('{"a'), then=BROKEN)
        second = Speaker("second", *texts("f"), *calls('{"a"', ": 1}"), piece({}, "tool_calls"))
        async with stage(first, second, definition=model("first", "second", prefill=["second"])) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            arguments = [event.text for event in responder.events if isinstance(event, ToolArguments)]
            assert (responder.text, "".join(arguments)) == ("I call f", '{"a": 1}')
            assert [event.reason for event in responder.events if isinstance(event, Finish)] == ["tool_calls"]

    async def test_a_limit_of_the_answer_counts_what_was_released(self) -> None:
        first, second = broken(), Speaker("second", *texts(" three four"), *END)
        async with stage(first, second, definition=model("first", "second", prefill=["second"])) as on:
            request = chat_request(max_tokens=50)
            responder = RecordingResponder()
            await on.gateway.chat(request, caller=Caller(), request_id="r", responder=responder)
            assert second.calls[0].request.fields["max_tokens"] == msgspec.Raw(b"48")


class TestAnswersThatAreNot:
    async def failed(self, on: Stage, released: str, **fields: Any) -> tuple[Exception, Receipt]:
        responder = RecordingResponder()
        with pytest.raises((ProviderError, AnswerRefused)) as caught:
            await on.gateway.chat(chat_request(**fields), caller=Caller(), request_id="r", responder=responder)
        assert responder.text == released
        assert not responder.is_finishing
        return caught.value, receipt_of(on, responder)

    async def test_unless_a_selector_says_so(self) -> None:
        first, second = broken(), Speaker("second", *texts(" three four"), *END)
        definition = model("first", "second", prefill=["second"])
        plain = replace(definition, selectors=(Cascade("in-order", ("first/m", "second/m")),))
        async with stage(first, second, definition=plain) as on:
            _, receipt = await self.failed(on, "one two ")
            assert (second.calls, receipt.seams) == ([], ())

    async def test_with_several_choices(self) -> None:
        first, second = broken(), Speaker("second", *texts(WHOLE), *END)
        async with stage(first, second, definition=model("first", "second")) as on:
            await self.failed(on, "one two ", n=2)
            assert second.calls == []

    async def test_when_nobody_goes_on_the_client_is_told_what_broke_it(self) -> None:
        first, second = broken(), Speaker("second", refusing=Failure("invalid_request", "no prefill here", status=400))
        third = Speaker("third", refusing=REFUSED)
        definition = model("first", "second", "third", prefill=["second", "third"])
        async with stage(first, second, third, definition=definition) as on:
            error, receipt = await self.failed(on, "one two ")
            assert isinstance(error, ProviderError)
            assert error.failure == BROKEN
            assert [status for _, status, _ in course(receipt)] == ["failed"] * 3
            assert receipt.final is not None
            assert (receipt.final.status, receipt.final.selected_model) == ("provider_error", "first/m")

    async def test_when_no_call_is_left(self) -> None:
        first, second = broken(), Speaker("second", *texts(" three four"), *END)
        async with stage(first, second, definition=model("first", "second", prefill=["second"], max_attempts=1)) as on:
            _, receipt = await self.failed(on, "one two ")
            assert len(receipt.attempts) == 1

    async def test_where_the_answer_does_not_fit_any_more(self) -> None:
        first, second = broken("first", "x" * 4000, "y"), Speaker("second", *texts("z"), *END)
        definition = model("first", "second", prefill=["second"])
        small = replace(definition, targets=(definition.targets[0], replace(definition.targets[1], context_window=900)))
        async with stage(first, second, definition=small) as on:
            await self.failed(on, "x" * 4000 + "y")
            assert second.calls == []

    async def test_what_a_rule_forbids_across_the_seam_does_not_leave(self) -> None:
        first, second = broken("first", "it is sec"), Speaker("second", *texts(" sec", "ret"), *END)
        definition = model("first", "second", prefill=["second"], rules=[rule("block", "secret")])
        async with stage(first, second, definition=definition) as on:
            error, receipt = await self.failed(on, "it is ")
            assert isinstance(error, AnswerRefused)
            assert receipt.final is not None
            assert receipt.final.status == "stream_policy_blocked"
            assert [attempt.status for attempt in receipt.attempts] == ["failed", "stopped"]

    async def test_the_seam_is_on_disk_before_the_target_is_asked(self) -> None:
        seen: list[list[str]] = []

        def look(call: UpstreamCall) -> None:
            entries = on.store.all_receipts()[0]
            seen.append([type(entry.event).__name__ for entry in entries][-2:])

        second = Watched("second", WHOLE, on_call=look)
        async with stage(broken(), second, definition=model("first", "second")) as on:
            await on.ask(RecordingResponder())
        assert seen == [[Resumed.__name__, "AttemptStarted"]]
        assert AttemptFinished.__name__ not in seen[0]
