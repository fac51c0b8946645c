"""The runtime's face: sessions, draining, readiness, receipts."""

from functools import partial

import anyio
import pytest

from supervisors import child_path, terminate_child
from supervisors.testing import settle
from tests.wardwright.runtime.conftest import Logs
from tests.wardwright.runtime.providers import Hanging, Watched, failing
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import InlineThreads, Stage, cascade, chat_request, stage
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.errors import (
    ActorRestarting,
    Failure,
    NotFound,
    StorageUnavailable,
    UnknownModel,
    WardwrightError,
)
from wardwright.domain.route import Cascade, ModelDefinition, SessionFacts, Target
from wardwright.receipts.events import Closed, Opened
from wardwright.receipts.query import ReceiptFilter
from wardwright.runtime.gateway import Obstacle
from wardwright.runtime.tree import ROOT, sessions_path

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

SESSIONS = sessions_path("test-model")
OUT_OF_ORDER = Failure("server_error", "out of order", status=500)
TARGETS = (Target("first/m", "first", "m", 8192), Target("second/m", "second", "m", 8192))
STICKY = ModelDefinition(
    "test-model", "v1", "in-order", (Cascade("in-order", ("first/m", "second/m"), sticky=True),), TARGETS
)


def member_of(session_id: str) -> Caller:
    return Caller(session_id=Attributed(session_id, "header"))


async def turn_of(on: Stage, caller: Caller) -> int | None:
    """The turn that a request's receipt was opened with."""
    responder = RecordingResponder()
    await on.ask(responder, caller=caller)
    opened = on.store.events(responder.receipt_id)[0]
    assert isinstance(opened, Opened)
    return opened.session_turn


async def target_of(on: Stage, caller: Caller) -> str | None:
    """The target that answered a request."""
    responder = RecordingResponder()
    await on.ask(responder, caller=caller)
    closed = on.store.events(responder.receipt_id)[-1]
    assert isinstance(closed, Closed)
    return closed.selected_model


class TestModels:
    async def test_an_unknown_model_is_refused_before_a_receipt_exists(self) -> None:
        async with stage(Watched()) as on:
            responder = RecordingResponder()
            with pytest.raises(UnknownModel):
                await on.gateway.chat(
                    chat_request(model="no-such-model"), caller=Caller(), request_id="req_1", responder=responder
                )
            assert responder.head is None
            assert on.store.all_receipts() == []

    async def test_a_model_is_called_by_either_of_its_names(self) -> None:
        async with stage(Watched()) as on:
            responder = RecordingResponder()
            await on.gateway.chat(
                chat_request(model="wardwright/test-model"), caller=Caller(), request_id="req_1", responder=responder
            )
            opened = on.store.events(responder.receipt_id)[0]
            assert isinstance(opened, Opened)
            assert (opened.request.model, opened.request.normalized_model) == ("wardwright/test-model", "test-model")

    async def test_a_request_keeps_the_definition_it_began_with(self) -> None:
        async with stage(Watched(chunk_delay_s=1)) as on, anyio.create_task_group() as tasks:
            responder = RecordingResponder()
            tasks.start_soon(on.ask, responder)
            await anyio.sleep(1)
            on.boards.catalog.models = {}
        assert responder.is_finished

    async def test_it_lists_what_may_be_called_and_who_answers(self) -> None:
        async with stage(Watched("first"), Watched("second")) as on:
            assert on.gateway.models() == [cascade("first", "second")]
            assert on.gateway.model("wardwright/test-model") == cascade("first", "second")
            assert [info.id for info in on.gateway.providers()] == ["first", "second"]


class TestSessions:
    async def test_each_session_counts_its_own_turns(self) -> None:
        async with stage(Watched()) as on:
            turns = [await turn_of(on, member_of(name)) for name in ("a", "a", "b", "a")]
            assert turns == [1, 2, 1, 3]
            assert on.details(f"{SESSIONS}/a") == {"session_id": "a", "turn": 3, "sticky": {}}

    async def test_without_a_session_there_is_no_turn_and_no_actor(self) -> None:
        async with stage(Watched()) as on:
            assert await turn_of(on, Caller()) is None
            sessions = on.system.tree().find(SESSIONS)
            assert sessions is not None
            assert sessions.children == ()

    async def test_first_requests_at_the_same_time_share_one_session(self) -> None:
        async with stage(Watched()) as on:
            turns: list[int | None] = []

            async def ask() -> None:
                turns.append(await turn_of(on, member_of("a")))

            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(ask)
        assert sorted(turn or 0 for turn in turns) == [1, 2, 3, 4, 5]

    async def test_a_session_that_cannot_answer_costs_a_turn_and_no_more_than_a_moment(self) -> None:
        async with stage(Watched()) as on:
            await terminate_child(on.system.named(f"{ROOT}/models/test-model"), "sessions")
            began = anyio.current_time()
            assert await turn_of(on, member_of("a")) is None
            assert anyio.current_time() - began <= 5.0

    async def test_after_a_request_that_did_not_wait_for_its_session_it_goes_on_with_the_turn_it_has_reached(
        self, threads: InlineThreads, logs: Logs
    ) -> None:
        async with stage(failing("first", OUT_OF_ORDER, times=1), Watched("second"), definition=STICKY) as on:
            asked = [await target_of(on, member_of("a")) for _ in range(2)]
            on.kill(f"{SESSIONS}/a")
            threads.takes_s = 6.0
            await settle()
            assert await turn_of(on, member_of("a")) is None
            threads.takes_s = 0.0
            on.kill(f"{SESSIONS}/a")
            await settle()
            assert await on.gateway.sessions.peek("test-model", "a") == SessionFacts(3, {"in-order": "second/m"})
            assert (asked, await turn_of(on, member_of("a"))) == (["second/m"] * 2, 3)
        assert [(one["model"], one["session"]) for one in logs if "without its session" in one["event"]] == [
            ("test-model", "a")
        ]

    async def test_a_session_that_is_read_slowly_is_waited_for(self, threads: InlineThreads) -> None:
        async with stage(Watched()) as on:
            await turn_of(on, member_of("a"))
            await terminate_child(on.system.named(SESSIONS), "a")
            threads.takes_s = 4.0
            assert await turn_of(on, member_of("a")) == 2

    async def test_a_request_waits_on_when_the_one_that_began_to_start_its_session_has_left(
        self, threads: InlineThreads
    ) -> None:
        async with stage(Watched()) as on:
            await turn_of(on, member_of("a"))
            await terminate_child(on.system.named(SESSIONS), "a")
            threads.takes_s = 2.0
            turns: list[int | None] = []

            async def ask() -> None:
                turns.append(await turn_of(on, member_of("a")))

            async with anyio.create_task_group() as tasks:
                with anyio.move_on_after(1):
                    tasks.start_soon(ask)  # which finds the session starting
                    await ask()
            assert turns == [2]

    async def test_a_session_goes_on_where_its_receipts_have_left_it(self) -> None:
        async with stage(Watched()) as on:
            await turn_of(on, member_of("a"))
            await turn_of(on, member_of("a"))
            on.kill(f"{SESSIONS}/a")
            await settle()
            assert await turn_of(on, member_of("a")) == 3
            await anyio.sleep(1801)  # it rests, and goes on
            assert await turn_of(on, member_of("a")) == 4

    async def test_a_sticky_selector_stays_on_the_target_that_answered(self) -> None:
        async with stage(failing("first", OUT_OF_ORDER, times=1), Watched("second"), definition=STICKY) as on:
            asked = [await target_of(on, member_of("a")) for _ in range(2)]
            on.kill(f"{SESSIONS}/a")
            await settle()
            asked += [await target_of(on, member_of("a")), await target_of(on, member_of("b"))]
        assert asked == ["second/m", "second/m", "second/m", "first/m"]

    async def test_what_a_request_came_to_that_ended_after_the_newest_began_is_not_forgotten(self) -> None:
        targets = (Target("first/m", "first", "m", 8192),)
        selector = Cascade("in-order", ("first/m",), sticky=True)
        model = ModelDefinition("test-model", "v1", "in-order", (selector,), targets)
        async with stage(Watched("first", chunk_delay_s=10), definition=model) as on:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(target_of, on, member_of("a"))
                await anyio.sleep(1)
                with anyio.move_on_after(2):
                    await target_of(on, member_of("a"))  # begins later, ends sooner, and comes to nothing
            lived = await on.gateway.sessions.peek("test-model", "a")
            on.kill(f"{SESSIONS}/a")
            await settle()
            assert lived == SessionFacts(3, {"in-order": "first/m"})
            assert await on.gateway.sessions.peek("test-model", "a") == lived

    @pytest.mark.parametrize("session_id", ["a/b", "..", "%2F", "with space", "grün", "x" * 256, "model"])
    async def test_any_name_a_caller_may_give_is_a_session(self, session_id: str) -> None:
        async with stage(Watched()) as on:
            assert [await turn_of(on, member_of(session_id)) for _ in range(2)] == [1, 2]
            assert on.system.whereis(child_path(SESSIONS, session_id)) is not None


class TestDrain:
    async def test_live_requests_may_finish(self) -> None:
        responder = RecordingResponder()
        async with anyio.create_task_group() as tasks, stage(Watched(chunk_delay_s=2)) as on:
            tasks.start_soon(on.ask, responder)
            await anyio.sleep(1)
        assert on.generations[0].is_retired, "no new connection is accepted meanwhile"
        assert responder.is_finished
        assert on.store.closing(responder.receipt_id).status == "completed"
        assert anyio.current_time() == pytest.approx(10)

    async def test_those_that_do_not_are_ended_told_and_recorded(self) -> None:
        responder = RecordingResponder()
        told: list[WardwrightError] = []

        async def ask() -> None:
            told.append(await on.ask_for_error(responder))

        async with anyio.create_task_group() as tasks, stage(Hanging(), drain_seconds=20.0) as on:
            tasks.start_soon(ask)
            await anyio.sleep(1)
        assert anyio.current_time() == pytest.approx(21)
        assert [type(error) for error in told] == [ActorRestarting]
        closed = on.store.closing(responder.receipt_id)
        assert (closed.status, closed.error_code) == ("interrupted", "actor_restarting")

    @pytest.mark.parametrize("is_before", [True, False], ids=["before it", "during it"])
    async def test_haste_ends_the_patience(self, is_before: bool) -> None:
        responder = RecordingResponder()
        async with anyio.create_task_group() as tasks:
            async with stage(Hanging(), drain_seconds=20.0) as on:
                tasks.start_soon(on.ask_for_error, responder)
                await anyio.sleep(1)
                if is_before:
                    on.gateway.hasten()
                else:
                    on.system.begin_shutdown()
                    await anyio.sleep(5)
                    on.gateway.hasten()
            assert anyio.current_time() == pytest.approx(1 if is_before else 6)
        assert on.store.closing(responder.receipt_id).status == "interrupted"

    async def test_without_live_requests_it_is_over_at_once(self) -> None:
        async with stage(Watched()) as on:
            await on.ask(RecordingResponder())
            began = anyio.current_time()
            await on.gateway.drain(1000)
            assert anyio.current_time() == began
            assert on.gateway.is_draining

    async def test_a_request_that_comes_while_it_waits_is_waited_for(self) -> None:
        first, second = RecordingResponder(), RecordingResponder()
        async with anyio.create_task_group() as tasks, stage(Watched(chunk_delay_s=2)) as on:
            tasks.start_soon(on.ask, first)
            await anyio.sleep(1)
            on.system.begin_shutdown()
            await anyio.sleep(4)
            tasks.start_soon(on.ask, second)
        assert first.is_finished
        assert second.is_finished

    async def test_a_request_that_comes_too_late_is_refused_at_once(self) -> None:
        provider = Watched()
        async with stage(provider) as on:
            pass
        began = anyio.current_time()
        error = await on.ask_for_error(RecordingResponder())
        assert isinstance(error, StorageUnavailable), "what cannot be recorded is not answered"
        assert provider.calls == []
        assert anyio.current_time() == began


class TestReadiness:
    async def test_a_healthy_daemon_is_ready(self) -> None:
        async with stage(Watched()) as on:
            assert await on.gateway.readiness() == []

    async def test_everything_that_is_wrong_is_said(self) -> None:
        async with stage(Watched()) as on:
            on.boards.catalog.models = {}
            on.boards.store.replace(None)
            on.gateway.is_draining = True
            await terminate_child(on.system.named(f"{ROOT}/providers"), "first")

            assert await on.gateway.readiness() == [
                Obstacle("daemon", "the daemon is stopping"),
                Obstacle("models", "no model is loaded"),
                Obstacle("storage", "the receipt store is not open yet"),
                Obstacle("actors", "wardwright/providers/first is stopped"),
            ]

    async def test_a_sink_that_fails_closed_keeps_requests_out_while_it_is_too_far_behind(self) -> None:
        provider = Watched()
        async with stage(provider) as on:
            on.boards.sinks.closed_by = "the sink 'archive' is too far behind"
            refusal = await on.ask_for_error(RecordingResponder())
            assert isinstance(refusal, StorageUnavailable)
            assert refusal.message == "no request is taken on now: the sink 'archive' is too far behind"
            assert await on.gateway.readiness() == [Obstacle("sinks", "the sink 'archive' is too far behind")]
            assert on.store.all_receipts() == []
            on.boards.sinks.closed_by = None
            await on.ask(RecordingResponder())
            assert await on.gateway.readiness() == []

    async def test_an_actor_that_restarts_is_named_until_it_is_back(self, threads: InlineThreads) -> None:
        async with stage(Watched()) as on:
            threads.takes_s = 2.0
            on.kill(f"{ROOT}/storage")
            await settle()
            assert on.gateway.unhealthy_actors() == [f"{ROOT}/storage is starting"]
            await anyio.sleep(5)
            assert on.gateway.unhealthy_actors() == []

    async def test_what_comes_and_goes_is_no_sign_of_health(self) -> None:
        async with stage(Hanging()) as on, anyio.create_task_group() as tasks:
            tasks.start_soon(partial(on.ask, RecordingResponder(), caller=member_of("a")))
            await settle()
            assert await on.gateway.readiness() == []
            tasks.cancel_scope.cancel()


class TestReceipts:
    async def test_a_receipt_is_read_back_whole(self) -> None:
        async with stage(Watched()) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            receipt = await on.gateway.receipt(responder.receipt_id)
            assert receipt.receipt_id == responder.receipt_id
            assert receipt.final is not None
            assert receipt.final.status == "completed"

    async def test_an_unknown_one_is_not_found(self) -> None:
        async with stage(Watched()) as on:
            with pytest.raises(NotFound) as caught:
                await on.gateway.receipt("rcpt_none")
            assert caught.value.code == "receipt_not_found"

    async def test_a_live_one_is_open(self) -> None:
        async with stage(Hanging()) as on, anyio.create_task_group() as tasks:
            responder = RecordingResponder()
            tasks.start_soon(on.ask, responder)
            await settle()
            assert (await on.gateway.receipt(responder.receipt_id)).final is None
            assert (await on.gateway.storage_health()).open_count == 1
            tasks.cancel_scope.cancel()

    async def test_pages_come_newest_first(self) -> None:
        async with stage(Watched()) as on:
            ids = []
            for _ in range(5):
                responder = RecordingResponder()
                await on.ask(responder)
                ids.append(responder.receipt_id)
            first = await on.gateway.receipts(ReceiptFilter.parse({"limit": "3"}))
            assert first.next_cursor is not None
            second = await on.gateway.receipts(ReceiptFilter.parse({"limit": "3", "cursor": first.next_cursor}))

        listed = [summary.receipt_id for summary in (*first.data, *second.data)]
        assert listed == sorted(ids, reverse=True)
        assert second.next_cursor is None

    async def test_without_a_store_reading_says_so(self) -> None:
        async with stage(Watched()) as on:
            on.boards.store.replace(None)
            for read in (
                lambda: on.gateway.receipt("rcpt_1"),
                lambda: on.gateway.receipts(ReceiptFilter()),
                on.gateway.storage_health,
            ):
                with pytest.raises(StorageUnavailable):
                    await read()
            on.boards.store.replace(on.store)

    async def test_a_refused_request_is_listed_beside_the_others(self) -> None:
        async with stage(Watched()) as on:
            await terminate_child(on.system.named(ROOT), "runs")
            await on.ask_for_error(RecordingResponder())
            page = await on.gateway.receipts(ReceiptFilter())
            assert [summary.status for summary in page.data] == ["internal_error"]
