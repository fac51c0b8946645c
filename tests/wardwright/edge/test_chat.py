"""The chat surface: what of an answer, and of a failure at each moment of it, reaches a client."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from supervisors.testing import settle
from tests.wardwright.edge.asgi import Client, Site, site
from tests.wardwright.edge.conftest import Logs
from tests.wardwright.runtime.providers import BROKEN, REFUSED, Hanging, Played, Watched, chunk, failing
from tests.wardwright.runtime.stage import cascade, suspensions
from tests.wardwright.runtime.stepping import stepped
from wardwright.domain.errors import Failure
from wardwright.domain.policy import StreamPolicy, StreamRule
from wardwright.domain.route import ModelDefinition
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.canned import ScriptedFailure
from wardwright.receipts.events import Opened
from wardwright.runtime.tree import RUNS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

STREAM_AND_UNARY = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])


def identity(client: Client) -> dict[str, str]:
    """The headers by which an answer can be found again."""
    return {name: value for name, value in client.headers.items() if name.startswith("x-wardwright")}


def text_of(events: Sequence[Any]) -> str:
    deltas = (choice["delta"] for event in events if isinstance(event, dict) for choice in event.get("choices", ()))
    return "".join(delta.get("content") or "" for delta in deltas)


def opening(on: Site, receipt_id: str) -> Opened:
    opened = on.on.store.events(receipt_id)[0]
    assert isinstance(opened, Opened)
    return opened


def fate(client: Client, *, stream: bool) -> str:
    """What became of an answer, which must be one of three things: whole, one clean error, or plainly cut."""
    error = None
    if client.is_complete and client.status != 200:
        error = client.json["error"]
    elif client.is_complete and stream and client.events[-1] != "[DONE]":
        error = client.events[-1]["error"]
    if error is not None:
        assert error["code"] == "internal_error"
        assert b"[DONE]" not in client.body
        return "told"
    if not client.is_complete:
        assert b"[DONE]" not in client.body
        return "cut"
    assert "one two three" in (text_of(client.events) if stream else client.body.decode())
    return "whole"


class TestUnary:
    async def test_an_answer_comes_under_the_public_name_with_its_receipt(self) -> None:
        async with site(Watched("first")) as at:
            client = await at.chat()

        assert (client.status, client.is_complete) == (200, True)
        assert client.json["model"] == "test-model"
        assert client.json["choices"][0]["message"]["content"] == "one two three"
        receipt_id = client.headers["x-wardwright-receipt-id"]
        assert client.json["wardwright"] == {"receipt_id": receipt_id, "selected_model": "first/m"}
        assert identity(client) == {
            "x-wardwright-receipt-id": receipt_id,
            "x-wardwright-model-version": "v1",
            "x-wardwright-attempts": "1",
            "x-wardwright-selected-model": "first/m",
        }
        assert client.headers["content-type"] == "application/json"
        assert client.headers["x-request-id"] == opening(at, receipt_id).request.request_id

    async def test_the_name_is_given_back_as_it_was_asked_for(self) -> None:
        async with site(Watched()) as at:
            assert (await at.chat(model="wardwright/test-model")).json["model"] == "wardwright/test-model"

    async def test_a_model_may_reveal_who_answered(self) -> None:
        open_model = msgspec.structs.replace(cascade("first"), reveal_target=True)
        async with site(Watched("first"), definition=open_model) as at:
            assert (await at.chat()).json["model"] == "first/m"
            streamed = await at.chat(stream=True)
            assert {event["model"] for event in streamed.events if isinstance(event, dict)} == {"first/m"}

    async def test_headers_say_how_many_attempts_it_took(self) -> None:
        async with site(failing("first", REFUSED), Watched("second")) as at:
            client = await at.chat()
            assert client.headers["x-wardwright-attempts"] == "2"
            assert client.headers["x-wardwright-selected-model"] == "second/m"


class TestStream:
    async def test_an_answer_comes_word_by_word_and_ends_with_done(self) -> None:
        async with site(Watched("first", chunk_delay_s=1.0)) as at:
            client = await at.chat(stream=True)

        assert client.status == 200
        assert client.headers["content-type"].startswith("text/event-stream")
        assert client.headers["cache-control"] == "no-cache"
        assert "content-length" not in client.headers
        assert identity(client).keys() == {
            "x-wardwright-receipt-id",
            "x-wardwright-model-version",
            "x-wardwright-attempts",
            "x-wardwright-selected-model",
        }
        assert len(client.chunks) == 4, "what one read of the upstream brought leaves in one write"
        assert client.events[-1] == "[DONE]"
        assert text_of(client.events) == "one two three"
        assert {event["model"] for event in client.events[:-1]} == {"test-model"}
        assert client.events[-2]["choices"][0]["finish_reason"] == "stop"

    async def test_an_answer_without_a_word_is_an_answer_too(self) -> None:
        async with site(Watched("first", "")) as at:
            client = await at.chat(stream=True)
        assert (client.status, client.is_complete, text_of(client.events)) == (200, True, "")
        assert client.events[-1] == "[DONE]"
        assert at.on.store.closing(client.headers["x-wardwright-receipt-id"]).status == "completed"

    @pytest.mark.parametrize("asks", [True, False])
    async def test_usage_is_shown_to_those_who_ask(self, asks: bool) -> None:
        async with site(Watched()) as at:
            client = await at.chat(stream=True, stream_options={"include_usage": asks})
        assert any("usage" in event for event in client.events[:-1]) == asks

    async def test_nothing_leaves_before_the_first_token(self) -> None:
        async with site(Watched(chunk_delay_s=10.0)) as at, anyio.create_task_group() as tasks:
            client = Client()
            tasks.start_soon(partial(at.chat, client, stream=True))
            await anyio.sleep(5)
            assert client.status == 0
            await anyio.sleep(10)
            assert (client.status, text_of(client.events)) == (200, "one")


class TestChoices:
    CALL: ClassVar = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a": '}}]}
    REST: ClassVar = {"tool_calls": [{"index": 0, "function": {"arguments": '"Old"}'}}]}
    FRAMES: ClassVar = (
        chunk({"role": "assistant", **CALL}),
        chunk({"role": "assistant", "content": "a"}, index=1),
        chunk(REST),
        chunk({}, "stop", index=1),
        chunk({}, "tool_calls"),
    )

    async def test_one_that_is_held_has_begun_before_those_behind_it(self) -> None:
        async with site(Played("first", *self.FRAMES), definition=self.watching("New")) as at:
            client = await at.chat(stream=True, n=2)
        assert shown_choices(client) == [
            (0, {"role": "assistant"}, None),
            (1, {"role": "assistant", "content": "a"}, None),
            (0, self.CALL, None),
            (0, self.REST, None),
            (1, {}, "stop"),
            (0, {}, "tool_calls"),
        ]
        assert client.events[-1] == "[DONE]"

    async def test_of_one_that_a_rule_ends_nothing_leaves_but_its_beginning(self) -> None:
        async with site(Played("first", *self.FRAMES), definition=self.watching("Old")) as at:
            client = await at.chat(stream=True, n=2)
        assert shown_choices(client) == [
            (0, {"role": "assistant"}, None), (1, {"role": "assistant", "content": "a"}, None),
        ]  # fmt: skip
        assert client.events[-1]["error"]["code"] == "stream_policy_blocked"

    async def test_without_rules_one_that_is_late_has_begun_too(self) -> None:
        whole = chunk(
            {"role": "assistant", "content": "a"}, "stop"
        )  # it waits for the receipt, like all that ends a choice
        other = chunk({"role": "assistant", "content": "b"}, index=1)
        async with site(Played("first", whole, other, chunk({}, "stop", index=1))) as at:
            client = await at.chat(stream=True, n=2)
        assert shown_choices(client) == [
            (0, {"role": "assistant"}, None),
            (1, {"role": "assistant", "content": "b"}, None),
            (0, {"content": "a"}, "stop"),
            (1, {}, "stop"),
        ]

    @staticmethod
    def watching(literal: str) -> ModelDefinition:
        rule = StreamRule(id="r", action="block", contains=literal, on=("text", "tool_arguments"))
        return msgspec.structs.replace(cascade("first"), stream_rules=(rule,), stream_policy=StreamPolicy())


def shown_choices(client: Client) -> list[tuple[int, Any, str | None]]:
    """Index, delta and finish reason of every chunk."""
    chunks = [event for event in client.events if isinstance(event, dict) and "choices" in event]
    choices = [choice for event in chunks for choice in event["choices"]]
    return [(choice["index"], choice["delta"], choice["finish_reason"]) for choice in choices]


class TestFailure:
    async def test_a_request_that_makes_no_sense_gets_no_receipt(self) -> None:
        async with site(Watched()) as at:
            client = await at.request("POST", "/v1/chat/completions", client=Client(b"{"))
            assert client.status == 400
            assert client.json["error"]["code"] == "invalid_request"
            assert "wardwright" not in client.json
            assert identity(client) == {}
            assert at.on.store.all_receipts() == []

    async def test_nor_does_one_for_an_unknown_model(self) -> None:
        async with site(Watched()) as at:
            client = await at.chat(model="none")
            assert (client.status, client.json["error"]["code"]) == (404, "model_not_found")
            assert client.json["error"]["param"] == "model"
            assert identity(client) == {}
            assert client.headers["x-should-retry"] == "false"

    async def test_nor_one_whose_caller_cannot_be_told(self) -> None:
        async with site(Watched()) as at:
            client = await at.chat(headers={"x-wardwright-tenant-id": "x" * 257})
            assert (client.status, client.json["error"]["param"]) == (400, "x-wardwright-tenant-id")
            assert at.on.store.all_receipts() == []

    @STREAM_AND_UNARY
    async def test_before_the_first_token_there_is_an_honest_status_and_a_receipt(self, stream: bool) -> None:
        async with site(failing("first", REFUSED)) as at:
            client = await at.chat(stream=stream)
            assert (client.status, client.is_complete) == (502, True)
            assert client.json["error"]["code"] == "provider_error"
            receipt_id = client.headers["x-wardwright-receipt-id"]
            assert client.json["wardwright"] == {"receipt_id": receipt_id, "selected_model": "first/m"}
            assert client.headers["x-wardwright-attempts"] == "1"
            assert client.headers["x-request-id"]
            assert at.on.store.closing(receipt_id).error_code == "provider_error"

    async def test_after_a_release_one_event_says_so_and_no_done_follows(self) -> None:
        async with site(failing("first", BROKEN, after_chunks=3)) as at:
            client = await at.chat(stream=True)

        assert (client.status, client.is_complete) == (200, True)
        assert text_of(client.events) == "one two"
        last = client.events[-1]
        assert last["error"]["code"] == "provider_error"
        assert last["wardwright"]["receipt_id"] == client.headers["x-wardwright-receipt-id"]
        assert b"[DONE]" not in client.body

    @pytest.mark.parametrize(("max_attempts", "told"), [(2, "false"), (3, None)])
    async def test_when_all_attempts_are_spent_clients_should_not_multiply_them(
        self, max_attempts: int, told: str | None
    ) -> None:
        limit = Failure("rate_limited", "slow down", status=429)
        model = cascade("first", "second", max_attempts=max_attempts)
        async with site(failing("first", limit), failing("second", limit), definition=model) as at:
            client = await at.chat()
            assert client.status == 429
            assert client.headers.get("x-should-retry") == told
            assert client.headers["retry-after"] == "1"

    async def test_what_the_provider_asked_to_wait_is_passed_on(self) -> None:
        limit = Failure("rate_limited", "slow down", status=429, retry_after_s=7.5)
        async with site(failing("first", limit)) as at:
            assert (await at.chat()).headers["retry-after"] == "8"

    @STREAM_AND_UNARY
    async def test_without_storage_there_is_no_answer(self, stream: bool) -> None:
        provider = Watched()
        async with site(provider) as at:
            at.on.store.fail_always()
            client = await at.chat(stream=stream)
        assert (client.status, client.json["error"]["code"]) == (503, "storage_unavailable")
        assert client.headers["retry-after"] == "1"
        assert provider.calls == []
        assert "disk" not in client.json["error"]["message"], "of a disk callers are told nothing"

    @STREAM_AND_UNARY
    async def test_an_answer_whose_receipt_cannot_be_closed_does_not_look_whole(self, stream: bool) -> None:
        async with site(Watched()) as at:
            at.on.store.fail_at(*range(2, 50))
            client = await at.chat(stream=stream)
        if stream:
            assert client.events[-1]["error"]["code"] == "storage_unavailable"
            assert b"[DONE]" not in client.body
            assert '"finish_reason":"stop"' not in client.body.decode()
        else:
            assert (client.status, client.json["error"]["code"]) == (503, "storage_unavailable")
            assert b"one two three" not in client.body

    async def test_a_bug_says_nothing_of_itself(self, logs: Logs) -> None:
        def stumble(call: UpstreamCall) -> None:
            raise RuntimeError("secret detail")

        async with site(Watched(on_call=stumble)) as at:
            client = await at.chat()
        assert (client.status, client.json["error"]["code"]) == (500, "internal_error")
        assert b"secret detail" not in client.body
        assert client.json["wardwright"]["receipt_id"] == logs[0]["receipt_id"]


class TestClient:
    @STREAM_AND_UNARY
    async def test_one_that_leaves_takes_its_upstream_call_along_and_is_sent_nothing(self, stream: bool) -> None:
        provider = Hanging()
        async with site(provider) as at, anyio.create_task_group() as tasks:
            client = Client()
            tasks.start_soon(partial(at.chat, client, stream=stream))
            await anyio.sleep(5)
            client.leave()
            await settle()
            assert provider.open_calls == 0
            assert (client.status, client.chunks) == (0, [])
            [entries] = at.on.store.all_receipts()
            assert at.on.store.closing(entries[0].receipt_id).status == "client_cancelled"

    async def test_one_that_leaves_before_its_request_is_complete_is_nobody(self) -> None:
        async with site(Watched()) as at:
            client = Client()
            client.leave()
            await at.request("POST", "/v1/chat/completions", client=client)
            assert client.status == 0
            assert at.on.store.all_receipts() == []

    @pytest.mark.parametrize("is_valid", [True, False])
    async def test_the_callers_trace_goes_on_at_the_provider_and_is_recorded(self, is_valid: bool) -> None:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        sent = f"00-{trace_id}-b7ad6b7169203331-01" if is_valid else "not a trace"
        provider = Watched()
        async with site(provider) as at:
            client = await at.chat(headers={"traceparent": sent})
            opened = opening(at, client.headers["x-wardwright-receipt-id"])
        assert provider.calls[0].traceparent == (sent if is_valid else None)
        assert opened.request.trace_id == (trace_id if is_valid else None)

    async def test_who_asked_is_recorded(self) -> None:
        async with site(Watched()) as at:
            named = await at.chat(headers={"x-wardwright-tenant-id": "acme"}, metadata={"session_id": "s1"})
            again = await at.chat(metadata={"session_id": "s1"})
            nobody = await at.chat()
            openings = [opening(at, client.headers["x-wardwright-receipt-id"]) for client in (named, again, nobody)]

        tenant, session = openings[0].caller.tenant_id, openings[0].caller.session_id
        assert tenant is not None
        assert session is not None
        assert [(tenant.value, tenant.source), (session.value, session.source)] == [
            ("acme", "header"),
            ("s1", "body_metadata"),
        ]
        assert [opened.session_turn for opened in openings] == [1, 2, None]
        assert openings[2].caller.anonymous_id is not None


class TestKilled:
    @STREAM_AND_UNARY
    async def test_anywhere_a_client_has_the_whole_answer_or_one_clean_error(self, stream: bool, logs: Logs) -> None:
        fates = []
        async with site(failing("first", REFUSED), Watched("second")) as at:
            for number in suspensions():
                client, has_happened = Client(), False

                def kill(suspension: int, number: int = number) -> None:
                    nonlocal has_happened
                    if suspension == number:
                        has_happened = True
                        for run in at.on.live_runs():
                            at.on.kill(run)

                await stepped(at.chat(client, stream=stream), kill)
                fates.append(fate(client, stream=stream))
                if not has_happened:
                    break
            assert [entry for entry in logs if entry["log_level"] == "error"] == [], "a kill is no bug"
            assert all(at.on.store.closing(entries[0].receipt_id) for entries in at.on.store.all_receipts())

        assert fates[-1] == "whole"
        assert fates.count("told") > 2
        assert fates.count("cut") <= 4, "only while the head or the end of an answer is being sent"

    async def test_in_the_middle_of_a_stream_there_is_one_event_and_no_done(self) -> None:
        async with site(Watched(chunk_delay_s=10)) as at, anyio.create_task_group() as tasks:
            client = Client()
            tasks.start_soon(partial(at.chat, client, stream=True))
            await anyio.sleep(25)
            [run] = at.on.live_runs()
            assert run.startswith(f"{RUNS}/")
            at.on.kill(run)
            await settle()
            assert (text_of(client.events), client.is_complete) == ("one two", True)
            assert client.events[-1]["error"]["code"] == "internal_error"


async def test_a_retry_in_between_is_invisible() -> None:
    first = Watched("first", failures=[ScriptedFailure(BROKEN, after_chunks=1)])
    async with site(first, Watched("second", "fine")) as at:
        client = await at.chat(stream=True)
    assert text_of(client.events) == "fine"
    roles = [event for event in client.events[:-1] if event["choices"] and "role" in event["choices"][0]["delta"]]
    assert len(roles) == 1
