"""A run under stream rules: what the client gets of an answer that may not be given, what is asked instead, and what is recorded."""

from typing import Any

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from supervisors.testing import settle
from tests.wardwright.runtime.providers import REFUSED, Scripted, Watched
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import Stage, cascade, stage
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import Completion
from wardwright.domain.errors import AnswerRefused, ProviderError
from wardwright.domain.policy import StreamAction, StreamPolicy, StreamRule
from wardwright.domain.route import MODEL_PREFIX, Cascade, Composition, ModelDefinition, Target
from wardwright.policy.automaton import Automaton
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.canned import ScriptedFailure
from wardwright.receipts.events import AttemptFinished
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Attempt, Receipt
from wardwright.runtime.stream_book import holdings_of
from wardwright.wire.openai import parse_completion

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

OLD = "OldClient("
REMINDED = "Use NewClient."
SESSION = Caller(session_id=Attributed("s1", "header"))


def rule(action: StreamAction, contains: str = OLD, **fields: Any) -> StreamRule:
    return StreamRule(id=fields.pop("id", action), action=action, contains=contains, **fields)


def governed(definition: ModelDefinition, *rules: StreamRule, mode: Any = "horizon", **policy: Any) -> ModelDefinition:
    return replace(definition, stream_rules=rules, stream_policy=StreamPolicy(mode, **policy))


def receipt_of(on: Stage, responder: RecordingResponder) -> Receipt:
    on.store.closing(responder.receipt_id)
    return fold(on.store.entries(responder.receipt_id))


def course(receipt: Receipt) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.status) for attempt in receipt.attempts]


def events(receipt: Receipt) -> list[str]:
    assert receipt.final is not None
    assert receipt.final.stream_policy is not None
    return [event.type for event in receipt.final.stream_policy.events]


def finding(attempt: Attempt) -> Any:
    assert attempt.stream_policy is not None
    return attempt.stream_policy


class TestAnAnswerThatIsTooMuchToHold:
    @pytest.mark.parametrize("mode", ["full_buffer", "semantic_boundary"])
    async def test_it_is_ended_and_nothing_of_it_leaves(self, mode: str) -> None:
        provider = Scripted("first", ["word "] * 200)
        definition = governed(cascade("first"), mode=mode, max_hold_bytes=8192)
        async with stage(provider, definition=definition) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert error.code == "stream_policy_hold_exceeded"
            assert "more of the answer" in error.message
            assert (responder.text, provider.open_calls) == ("", 0)
            assert provider.pieces_taken < 200
            receipt = receipt_of(on, responder)
            assert receipt.final is not None
            assert receipt.final.status == "stream_policy_hold_exceeded"
            [attempt] = receipt.attempts
            assert 8192 < finding(attempt).hold_exceeded_bytes < 8192 + 200
            assert finding(attempt).blocked_bytes == attempt.generated_bytes > 0

    async def test_a_model_may_have_a_larger_limit_than_the_usual(self) -> None:
        policy = StreamPolicy("full_buffer", max_hold_bytes=2**30, on_hold_exceeded="open")
        definition = replace(cascade("first"), stream_policy=policy)
        assert holdings_of(Composition(definition))["first/m"].policy == policy

    async def test_a_sentence_that_ends_in_time_is_not_too_much(self) -> None:
        provider = Scripted("first", ["word. "] * 200)
        definition = governed(cascade("first"), mode="semantic_boundary", max_hold_bytes=8192)
        async with stage(provider, definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "word. " * 200


class TestAnAnswerThatMayBeGiven:
    async def test_what_rules_change_reaches_the_client_changed(self) -> None:
        provider = Scripted("first", ["call Old", "Client(arg) now"])
        definition = governed(cascade("first"), rule("rewrite", replacement="NewClient("))
        async with stage(provider, definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder)

            assert responder.text == "call NewClient(arg) now"
            receipt = receipt_of(on, responder)
            assert receipt.final is not None
            assert (receipt.final.status, receipt.final.released_bytes) == ("completed", 23)
            [attempt] = receipt.attempts
            assert (attempt.generated_bytes, attempt.released_bytes) == (23, 23)
            assert (finding(attempt).rewritten_bytes, finding(attempt).inserted_bytes) == (10, 10)
            assert finding(attempt).held_bytes == 0
            assert events(receipt) == ["stream_policy.triggered"]

    async def test_a_whole_answer_is_changed_alike(self) -> None:
        provider = Scripted("first", ["call OldClient(arg) now"])
        definition = governed(cascade("first"), rule("rewrite", replacement="NewClient("))
        async with stage(provider, definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder, stream=False)
            assert responder.completion is not None
            assert b"call NewClient(arg) now" in bytes(responder.completion.fields["choices"])
            assert events(receipt_of(on, responder)) == ["stream_policy.triggered"]

    async def test_rules_that_observe_only_tell_the_receipt(self) -> None:
        definition = governed(cascade("first"), rule("block", "one", shadow=True), mode="pass_through")
        async with stage(Watched("first"), definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "one two three"
            final = receipt_of(on, responder).final
            assert final is not None
            assert final.stream_policy is not None
            assert (final.status, final.stream_policy.trigger_count) == ("completed", 1)
            value = on.metrics.registry.get_sample_value
            labels = {"model": "test-model", "rule": "block", "action": "shadow"}
            assert value("wardwright_stream_rules_fired_total", labels) == 1

    async def test_a_full_buffer_leaves_with_the_closed_receipt(self) -> None:
        provider = Scripted("first", ["one ", "two"], delay_s=1.0)
        async with stage(provider, definition=governed(cascade("first"), rule("block"), mode="full_buffer")) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "one two"
            assert len(responder.batches) == 1
            [attempt] = receipt_of(on, responder).attempts
            assert (attempt.released_bytes, finding(attempt).max_held_bytes) == (7, 7)

    async def test_a_stream_that_breaks_while_all_is_held_falls_over_unseen(self) -> None:
        broken = Watched("first", failures=[ScriptedFailure(REFUSED, 3)])
        definition = governed(cascade("first", "second"), rule("block"), mode="full_buffer")
        async with stage(broken, Scripted("second", ["fine"]), definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "fine"
            assert course(receipt_of(on, responder)) == [("first/m", "failed"), ("second/m", "completed")]


class TestABlock:
    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_before_release_it_is_a_refusal_and_nothing_else(self, stream: bool) -> None:
        provider = Scripted("first", [OLD, "arg"])
        async with stage(provider, definition=governed(cascade("first", "second"), rule("block"))) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder, stream=stream)

            assert isinstance(error, AnswerRefused)
            assert (error.code, error.retryable) == ("stream_policy_blocked", False)
            assert responder.batches == []
            receipt = receipt_of(on, responder)
            assert receipt.final is not None
            assert (receipt.final.status, receipt.final.released) == ("stream_policy_blocked", False)
            assert receipt.final.stream_policy is not None
            assert receipt.final.stream_policy.action == "block"
            [attempt] = receipt.attempts
            assert (attempt.status, attempt.usage is not None) == ("stopped", True)
            assert finding(attempt).blocked_bytes == finding(attempt).held_bytes == attempt.generated_bytes > 0
            value = on.metrics.registry.get_sample_value
            labels = {"model": "test-model", "outcome": "stream_policy_blocked"}
            assert value("wardwright_answers_withheld_total", labels) == 1

    async def test_after_release_the_client_keeps_what_it_has_and_is_told(self) -> None:
        provider = Scripted("first", ["safe ", OLD])
        async with stage(provider, definition=governed(cascade("first"), rule("block"))) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert error.code == "stream_policy_blocked"
            assert (responder.text, responder.is_finished) == ("safe ", False)
            final = receipt_of(on, responder).final
            assert final is not None
            assert (final.released, final.released_bytes, final.selected_model) == (True, 5, "first/m")

    async def test_the_upstream_is_left_at_once(self) -> None:
        provider = Scripted("first", [OLD, *["more"] * 100], delay_s=1.0)
        async with stage(provider, definition=governed(cascade("first"), rule("block"))) as on:
            began = on.system.now()
            await on.ask_for_error(RecordingResponder())
            assert on.system.now() - began < 1.1
            assert (provider.open_calls, provider.pieces_taken, on.leases(), on.permits()) == (0, 1, 0, 0)

    async def test_it_says_nothing_against_the_provider(self) -> None:
        async with stage(Scripted("first", [OLD]), definition=governed(cascade("first"), rule("block"))) as on:
            await on.ask_for_error(RecordingResponder())
            await settle()
            details = on.details("wardwright/providers/first")
            assert (details["error_count"], details["completed_count"], details["cancelled_count"]) == (0, 0, 1)


class TestARetry:
    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_a_reminder_goes_behind_the_messages_of_the_next_call(self, stream: bool) -> None:
        provider = Scripted("first", ["use OldClient(", "arg)"], ["use NewClient(", "arg)"])
        reminding = rule("retry_with_reminder", reminder=REMINDED)
        async with stage(provider, definition=governed(cascade("first"), reminding)) as on:
            responder = RecordingResponder()
            await on.ask(responder, stream=stream)

            if stream:
                assert responder.text == "use NewClient(arg)"
            first, second = provider.calls
            assert len(first.request.messages) == 1
            assert msgspec.json.decode(second.request.fields["messages"])[1:] == [
                {"role": "system", "name": "wardwright_stream_policy_reminder", "content": REMINDED}
            ]
            receipt = receipt_of(on, responder)
            assert course(receipt) == [("first/m", "stopped"), ("first/m", "completed")]
            assert [finding(attempt).stopped_by for attempt in receipt.attempts] == ["retry_with_reminder", None]
            assert events(receipt) == ["stream_policy.triggered", "attempt.retry_requested"]
            assert receipt.final is not None
            assert receipt.final.stream_policy is not None
            assert (receipt.final.stream_policy.retry_count, receipt.final.status) == (1, "completed")
            assert receipt.final.usage is not None
            assert responder.head is not None
            assert responder.head.attempts == 2
            assert REMINDED.encode() not in b"".join(on.store.payloads(responder.receipt_id))

    async def test_a_plain_retry_asks_the_same_again(self) -> None:
        provider = Scripted("first", [OLD], ["fine"])
        async with stage(provider, definition=governed(cascade("first"), rule("retry"))) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "fine"
            assert provider.calls[0].request is provider.calls[1].request

    @pytest.mark.parametrize(("max_retries", "calls"), [(0, 1), (1, 2), (3, 4)])
    async def test_a_rule_asks_again_as_often_as_it_may(self, max_retries: int, calls: int) -> None:
        provider = Scripted("first", [OLD])
        definition = governed(cascade("first", max_attempts=9), rule("retry", max_retries=max_retries))
        async with stage(provider, definition=definition) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert (error.code, len(provider.calls)) == ("stream_policy_retries_exhausted", calls)
            receipt = receipt_of(on, responder)
            assert receipt.final is not None
            assert receipt.final.stream_policy is not None
            last = receipt.final.stream_policy.events[-1]
            assert (last.type, last.reason, last.retry_count) == ("attempt.retry_refused", "retries_spent", max_retries)
            assert (receipt.final.status, receipt.final.released) == ("stream_policy_retries_exhausted", False)

    async def test_each_rule_has_retries_of_its_own(self) -> None:
        provider = Scripted("first", ["aa"], ["bb"], ["fine"])
        rules = rule("retry", "aa", id="a"), rule("retry", "bb", id="b")
        async with stage(provider, definition=governed(cascade("first"), *rules)) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "fine"

    async def test_all_calls_together_stay_within_the_models_limit(self) -> None:
        provider = Scripted("first", [OLD], failures=[ScriptedFailure(REFUSED)])
        definition = governed(cascade("first", "second", max_attempts=3), rule("retry", max_retries=9))
        async with stage(provider, Scripted("second", [OLD]), definition=definition) as on:
            responder = RecordingResponder()
            await on.ask_for_error(responder)
            receipt = receipt_of(on, responder)
            assert course(receipt) == [("first/m", "failed"), ("second/m", "stopped"), ("second/m", "stopped")]
            assert receipt.events[-2].reason == "attempts_spent"

    async def test_a_failure_after_it_falls_over_to_the_next_target(self) -> None:
        first = Scripted("first", [OLD], failures=[None, ScriptedFailure(REFUSED)])
        definition = governed(cascade("first", "second"), rule("retry"))
        async with stage(first, Scripted("second", ["fine"]), definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "fine"
            assert course(receipt_of(on, responder)) == [
                ("first/m", "stopped"), ("first/m", "failed"), ("second/m", "completed"),
            ]  # fmt: skip

    async def test_nothing_is_asked_again_once_text_has_left(self) -> None:
        provider = Scripted("first", ["use ", OLD], ["fine"])
        async with stage(provider, definition=governed(cascade("first"), rule("retry"))) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert error.code == "stream_policy_retries_exhausted"
            assert (responder.text, len(provider.calls)) == ("use ", 1)
            assert receipt_of(on, responder).events[-2].reason == "already_released"

    async def test_a_request_that_has_grown_goes_where_it_fits(self) -> None:
        small, large = Target("first/m", "first", "up", 10), Target("second/m", "second", "up", 1000)
        definition = ModelDefinition("test-model", "v1", "c", (Cascade("c", ("first/m", "second/m")),), (small, large))
        reminding = rule("retry_with_reminder", reminder="word " * 20)
        first, second = Scripted("first", [OLD]), Scripted("second", ["fine"])
        async with stage(first, second, definition=governed(definition, reminding)) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "fine"
            receipt = receipt_of(on, responder)
            assert course(receipt) == [("first/m", "stopped"), ("second/m", "completed")]
            assert receipt.final is not None
            assert receipt.final.stream_policy is not None
            asked = receipt.final.stream_policy.events[-1]
            assert (asked.from_model, asked.to_model) == ("first/m", "second/m")
            assert receipt.final.selected_model == "second/m"

    async def test_a_request_that_fits_nowhere_any_more_is_not_asked_again(self) -> None:
        reminding = rule("retry_with_reminder", reminder="word " * 20)
        provider = Scripted("first", [OLD])
        async with stage(provider, definition=governed(cascade("first", window=10), reminding)) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert error.code == "stream_policy_retries_exhausted"
            assert receipt_of(on, responder).events[-2].reason == "nothing_fits"

    async def test_it_may_escalate_to_a_named_target(self) -> None:
        first, second = Scripted("first", [OLD]), Scripted("second", ["fine"])
        definition = governed(cascade("first", "second"), rule("escalate", target="second/m"))
        async with stage(first, second, definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "fine"
            assert course(receipt_of(on, responder)) == [("first/m", "stopped"), ("second/m", "completed")]

    async def test_an_escalation_does_not_leave_the_route_that_policy_allows(self) -> None:
        from wardwright.domain.policy import RouteRule

        first, second = Scripted("first", [OLD]), Scripted("second", ["fine"])
        definition = replace(
            governed(cascade("first", "second"), rule("escalate", target="second/m")),
            governance=(RouteRule(id="stay", action="restrict_routes", allowed_targets=("first",)),),
        )
        async with stage(first, second, definition=definition) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert error.code == "stream_policy_retries_exhausted"
            assert (len(second.calls), receipt_of(on, responder).events[-2].reason) == (0, "target_unavailable")


class TestOnce:
    async def test_a_rule_that_holds_once_per_request_lets_the_next_answer_be(self) -> None:
        provider = Scripted("first", [OLD])
        reminding = rule("retry_with_reminder", reminder=REMINDED, once_per="request")
        async with stage(provider, definition=governed(cascade("first"), reminding)) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == OLD
            await on.ask(RecordingResponder())
            assert len(provider.calls) == 4, "the next request begins anew"

    async def test_a_session_remembers_what_has_fired_in_it(self) -> None:
        provider = Scripted("first", [OLD])
        reminding = rule("retry_with_reminder", reminder=REMINDED, once_per="session")
        async with stage(provider, definition=governed(cascade("first"), reminding)) as on:
            await on.ask(RecordingResponder(), caller=SESSION)
            assert len(provider.calls) == 2
            await settle()
            second = RecordingResponder()
            await on.ask(second, caller=SESSION)
            assert (len(provider.calls), second.text) == (3, OLD)
            on.kill("wardwright/models/test-model/sessions/s1")
            await settle()
            await on.ask(RecordingResponder(), caller=SESSION)
            assert len(provider.calls) == 4, "a session is taken up where its receipts have left it"
            await on.ask(RecordingResponder(), caller=Caller(session_id=Attributed("s2", "header")))
            assert len(provider.calls) == 6

    async def test_no_request_waits_for_rules_to_be_compiled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rules = [
            rule("retry", id="once", once_per="session"),
            rule("rewrite", "zzz"),
            rule("drop", "yyy", once_per="request"),
        ]
        provider = Scripted("first", [OLD, "yyy"])
        async with stage(provider, definition=governed(cascade("first"), *rules, mode="semantic_boundary")) as on:
            compiled: list[object] = []
            monkeypatch.setattr(Automaton, "_compile", lambda *args: compiled.append(args))
            for _ in range(2):
                responder = RecordingResponder()
                await on.ask(responder, caller=SESSION)
                assert responder.text == OLD
                await settle()
            assert len(provider.calls) == 3
            assert compiled == []


class TestHoldingThatFailsOpen:
    def opening(self, *others: StreamRule, **policy: Any) -> ModelDefinition:
        opening = rule("block", max_hold_ms=5000, on_hold_exceeded="open")
        return governed(cascade("first"), opening, *others, **policy)

    async def test_text_leaves_when_its_time_has_come_though_the_provider_is_silent(self) -> None:
        provider = Scripted("first", ["see: Old", "er"], delay_s=20.0)
        async with stage(provider, definition=self.opening()) as on:
            left: list[tuple[float, str]] = []

            async def look(what: str) -> None:
                left.append((on.system.now() - began, responder.text))

            began = on.system.now()
            responder = RecordingResponder(look)
            await on.ask(responder)
            assert responder.text == "see: Older"
            assert left == [(20.0, ""), (25.0, "see: "), (40.0, "see: Old"), (40.0, "see: Older")]
            [attempt] = receipt_of(on, responder).attempts
            assert finding(attempt).opened_bytes == 3
            assert attempt.released_bytes == 10

    async def test_what_is_completed_later_is_a_match_all_the_same(self) -> None:
        provider = Scripted("first", ["see: Old", "Client(x"], delay_s=20.0)
        async with stage(provider, definition=self.opening()) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert (error.code, responder.text) == ("stream_policy_blocked", "see: Old")

    async def test_a_rule_that_fails_closed_ends_the_answer_where_it_holds_the_text_too(self) -> None:
        provider = Scripted("first", ["see: Old", "er"], delay_s=20.0)
        async with stage(provider, definition=self.opening(rule("block", "Oldest", id="closed"))) as on:
            began = on.system.now()
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert (error.code, responder.text) == ("stream_policy_hold_exceeded", "see: ")
            assert (on.system.now() - began, provider.open_calls) == (25.0, 0)

    async def test_a_sentence_leaves_unfinished_where_the_mode_says_so(self) -> None:
        provider = Scripted("first", ["It is", " long."], delay_s=20.0)
        definition = governed(cascade("first"), mode="semantic_boundary", max_hold_ms=5000, on_hold_exceeded="open")
        async with stage(provider, definition=definition) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert [len(batch) for batch in responder.batches] == [2, 1, 1]

    async def test_text_that_leaves_late_gives_its_provider_no_more_time(self) -> None:
        provider = Scripted("first", ["Old", "x"], delay_s=45.0)
        async with stage(provider, definition=self.opening()) as on:
            began = on.system.now()
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert isinstance(error, ProviderError)
            assert error.failure.clock == "idle"
            assert (on.system.now() - began, responder.text) == (75.0, "Old")

    async def test_a_failure_of_the_provider_comes_out_as_it_is(self) -> None:
        provider = Scripted("first", ["Old"], failures=[ScriptedFailure(REFUSED)])
        async with stage(provider, definition=self.opening()) as on:
            error = await on.ask_for_error(RecordingResponder())
            assert isinstance(error, ProviderError)
            assert error.failure == REFUSED


class TestHolding:
    async def test_text_is_not_held_for_longer_than_it_may(self) -> None:
        provider = Scripted("first", ["Old", *["x"] * 9], delay_s=10.0)
        async with stage(provider, definition=governed(cascade("first"), rule("block"), max_hold_ms=5000)) as on:
            began = on.system.now()
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert on.system.now() - began == pytest.approx(15.0)
            assert error.code == "stream_policy_hold_exceeded"
            receipt = receipt_of(on, responder)
            assert receipt.final is not None
            assert receipt.final.status == "stream_policy_hold_exceeded"
            [attempt] = receipt.attempts
            assert (attempt.status, finding(attempt).hold_exceeded_ms) == ("stopped", 5000)
            assert (finding(attempt).blocked_bytes, events(receipt)) == (3, ["stream_policy.hold_exceeded"])

    async def test_a_long_stream_of_which_nothing_is_held_for_long_goes_on(self) -> None:
        provider = Scripted("first", ["an Old", " hat, "] * 5, delay_s=3.0)
        async with stage(provider, definition=governed(cascade("first"), rule("block"), max_hold_ms=5000)) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "an Old hat, " * 5

    async def test_time_that_the_client_takes_does_not_count(self) -> None:
        async def slow(what: str) -> None:
            await anyio.sleep(60)

        provider = Scripted("first", ["an Old", " hat"])
        async with stage(provider, definition=governed(cascade("first"), rule("block"), max_hold_ms=5000)) as on:
            responder = RecordingResponder(on_send=slow)
            await on.ask(responder)
            assert responder.text == "an Old hat"

    async def test_a_client_that_leaves_is_recorded_with_what_was_held(self) -> None:
        provider = Scripted("first", ["an Old", " hat"], delay_s=10.0)
        async with stage(provider, definition=governed(cascade("first"), rule("block"))) as on:
            responder = RecordingResponder()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(on.ask, responder)
                await anyio.sleep(15)
                responder.leave()
            [finished] = [e for e in on.store.events(responder.receipt_id) if isinstance(e, AttemptFinished)]
            assert (finished.status, finished.generated_bytes, finished.released_bytes) == ("cancelled", 6, 3)
            assert finished.stream_policy is not None
            assert (finished.stream_policy.held_bytes, provider.open_calls) == (3, 0)


class TestNesting:
    def test_a_nested_models_rules_hold_for_its_targets_and_come_first(self) -> None:
        inner_target, outer_target = Target("in/m", "in", "up", 100), Target("out/m", "out", "up", 100)
        inner = governed(
            ModelDefinition("inner", "v1", "c", (Cascade("c", ("in/m",)),), (inner_target,)),
            rule("rewrite", id="r"),
            mode="semantic_boundary",
            max_hold_ms=10,
        )
        outer = governed(
            ModelDefinition("outer", "v1", "c", (Cascade("c", ("out/m", f"{MODEL_PREFIX}inner")),), (outer_target,)),
            rule("block", id="r"),
            max_hold_ms=20,
        )
        holdings = holdings_of(Composition(outer, {"inner": inner}))
        assert [r.id for r in holdings["in/m"].rules] == ["inner/r", "r"]
        assert holdings["in/m"].policy == StreamPolicy("semantic_boundary", 10)
        assert [r.id for r in holdings["out/m"].rules] == ["r"]
        assert holdings["out/m"].policy == StreamPolicy("horizon", 20)

    def test_models_without_rules_have_nothing_to_hold(self) -> None:
        assert holdings_of(Composition(cascade("first"))) == {}


async def test_an_answer_whose_texts_cannot_be_read_is_not_given() -> None:
    class Odd(Scripted):
        async def complete(self, call: UpstreamCall) -> Completion:
            message = {"role": "assistant", "content": "a", "tool_calls": "f()"}
            return parse_completion(msgspec.json.encode({"choices": [{"message": message}]}))

    async with stage(Odd("first", []), definition=governed(cascade("first"), rule("block"))) as on:
        error = await on.ask_for_error(RecordingResponder(), stream=False)
        assert isinstance(error, ProviderError)
        assert error.failure.failure_class == "bad_response"
