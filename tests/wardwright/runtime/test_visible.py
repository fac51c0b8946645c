"""What the parts of the runtime tell watchers, as it happens."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from supervisors import ChildInfo, DeadLetters, ExitReason, Progress, RestartDelayed, SupervisorReport, Unstopped
from supervisors.testing import settle
from tests.wardwright.receipts.receipt_samples import opened
from tests.wardwright.runtime.catalog_rig import HEAD, draft, model, rig
from tests.wardwright.runtime.providers import REFUSED, Scripted, Watched, failing
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.sink_rig import settings, works
from tests.wardwright.runtime.stage import Stage, cascade, stage
from wardwright.config.problems import ConfigError
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.control import KeyCreated, KeyRevoked
from wardwright.domain.errors import Failure
from wardwright.domain.policy import PolicyAction, StreamAction, StreamRule
from wardwright.domain.structured import OutputFinding
from wardwright.planner.breaker import BreakerPolicy
from wardwright.receipts.events import AttemptFinished, ContentCaptured, Event, NotAskedAgain, PassedOver, Resumed
from wardwright.runtime.bus import Told, Watch
from wardwright.runtime.catalog_calls import AddDraft, Publish, Reload, Retire, RollBack, SetCanary
from wardwright.runtime.control_facts import fact_of
from wardwright.runtime.gate import Admission
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.receipt_facts import facts_of
from wardwright.runtime.tree_facts import fact_of_tree
from wardwright.runtime.visible import TOPICS, Fact

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

CHILD = ChildInfo("wardwright/storage", "Checkpointer", "permanent", 30.0, "worker", restarts=2)
LIMITED = Failure("rate_limited", "slow down", 429, retry_after_s=7.0)


def tag(fact: Fact) -> str:
    return str(fact.__struct_config__.tag)


def told(facts: list[Fact]) -> list[tuple[str, dict[str, Any]]]:
    return [(tag(fact), msgspec.structs.asdict(fact)) for fact in facts]


async def heard(watch: Watch) -> list[Fact]:
    """What a watcher has been told, up to its end."""
    watch.close()
    facts: list[Fact] = []
    try:
        while True:
            facts.extend(event.fact for event in await watch.next_batch() if isinstance(event, Told))
    except anyio.EndOfStream:
        return facts


def said(event: Event) -> list[Fact]:
    return list(facts_of("rcpt_1", opened(), event))


class TestRequests:
    async def test_one_is_told_from_its_opening_to_its_end(self) -> None:
        caller = Caller(session_id=Attributed("s1", "header"), run_id=Attributed("r1", "header"))
        async with stage(failing("first", REFUSED), Watched("second")) as on:
            watch, responder = on.bus.watch(["receipts"]), RecordingResponder()
            await on.ask(responder, caller=caller)
            facts = await heard(watch)
        assert [tag(fact) for fact in facts] == [
            "receipt.opened",
            "attempt.started",
            "attempt.finished",
            "attempt.started",
            "attempt.finished",
            "receipt.closed",
        ]
        everything = msgspec.to_builtins(facts)
        assert {fact["receipt_id"] for fact in everything} == {responder.receipt_id}
        assert {(fact["model_id"], fact["session_id"]) for fact in everything} == {("test-model", "s1")}
        assert (everything[0]["planned"], everything[0]["stream"]) == (("first/m", "second/m"), True)
        assert [fact["target"] for fact in everything[1:]] == ["first/m"] * 2 + ["second/m"] * 3
        assert (everything[2]["status"], everything[2]["failure"]) == ("failed", "connect")
        last = everything[-1]
        assert (last["status"], last["attempts"], last["run_id"], last["error_code"]) == ("completed", 2, "r1", None)
        assert last["output_tokens"] == everything[-2]["output_tokens"] is not None
        assert "one two three" not in str(everything)

    async def test_nothing_is_told_of_what_is_not_on_disk(self) -> None:
        async with stage(Watched()) as on:
            watch = on.bus.watch(["receipts"])
            on.store.fail_always()
            await on.ask_for_error(RecordingResponder())
            assert await heard(watch) == []

    async def test_who_comes_in_the_middle_hears_the_rest(self) -> None:
        watches: list[Watch] = []
        async with stage(Watched(on_call=lambda call: watches.append(on.bus.watch(["receipts"])))) as on:
            await on.ask(RecordingResponder())
            assert [tag(fact) for fact in await heard(watches[0])] == ["attempt.finished", "receipt.closed"]

    async def test_a_target_that_is_passed_over_and_a_stream_that_goes_on_elsewhere_are_told(self) -> None:
        [passed] = said(PassedOver("local/small", "local", "saturated", 12.5, 3.0))
        [resumed] = said(Resumed(2, 1, "local/small", "cloud/large", "prefill", 120))
        facts = told([passed, resumed])
        assert [kind for kind, _ in facts] == ["target.passed_over", "stream.resumed"]
        assert (facts[0][1]["reason"], facts[0][1]["waited_ms"]) == ("saturated", 12.5)
        assert (facts[1][1]["from_target"], facts[1][1]["to_target"]) == ("local/small", "cloud/large")

    def test_content_is_told_to_nobody(self) -> None:
        assert said(ContentCaptured("answer", content=msgspec.Raw(b'"one two three"'))) == []


class TestPolicy:
    async def test_a_rule_over_answers_and_what_followed_are_told_by_name_alone(self) -> None:
        asks_again: StreamAction = "retry_with_reminder"
        rule = StreamRule(id="no-old", action=asks_again, contains="OldClient(", reminder="Use NewClient.")
        definition = replace(cascade("first"), stream_rules=(rule,))
        provider = Scripted("first", ["OldClient(OldClient("], ["fine"])
        async with stage(provider, definition=definition) as on:
            watch, responder = on.bus.watch(["policy"]), RecordingResponder()
            await on.ask(responder)
            facts = await heard(watch)
        assert responder.text == "fine"
        (fired, first), (again, second) = told(facts)
        assert (fired, first["rule_id"], first["action"]) == ("rule.fired", "no-old", asks_again)
        assert (first["phase"], first["attempt"], first["shadow"]) == ("stream", 1, False)
        assert (again, second["rule_id"], second["retry_count"]) == ("attempt.retry_requested", "no-old", 1)
        assert "OldClient" not in str(facts)
        assert "NewClient" not in str(facts)

    def test_a_rule_over_the_request_is_told_without_its_message(self) -> None:
        decided = opened()
        action = PolicyAction("nested", "stay-home", "route_gate", "restrict_routes", "the customer's own words")
        event = replace(decided, decision=replace(decided.decision, policy_actions=(action,)))
        _, fired = told(said(event))
        assert fired[0] == "rule.fired"
        assert (fired[1]["rule_id"], fired[1]["rule_model_id"], fired[1]["phase"]) == (
            "stay-home",
            "nested",
            "request",
        )
        assert "own words" not in str(fired)

    def test_a_faulty_form_and_what_could_not_be_asked_again_are_told(self) -> None:
        output = OutputFinding(False, None, "price", "semantic_validation")
        rejected = AttemptFinished(1, "t", "rejected", started_at=0.0, latency_ms=1.0, structured_output=output)
        accepted = replace(rejected, structured_output=OutputFinding(True, "answer"))
        refused = NotAskedAgain(1, "price", "retry", "guard_budget_spent", 1, 1, "structured_output")
        assert [tag(fact) for fact in said(accepted)] == ["attempt.finished"]
        (fired, of_form), _ = told(said(rejected))
        assert (fired, of_form["rule_id"], of_form["phase"]) == ("rule.fired", "price", "output")
        [(kind, facts)] = told(said(refused))
        assert (kind, facts["reason"]) == ("attempt.retry_refused", "guard_budget_spent")


class TestModelsAndKeys:
    async def test_each_decision_about_a_version_is_told(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            on.told.clear()
            await on.ask(AddDraft("m", draft("local/large", version="v2")))
            await on.ask(SetCanary("m", "v2", 5))
            await on.ask(SetCanary("m", "v2", 0))
            await on.ask(Publish("m", "v2"))
            await on.ask(RollBack("m"))
            await on.ask(Retire("m"))
            facts = told(on.told)
        assert [kind for kind, _ in facts] == [
            "version.added",
            "canary.set",
            "canary.ended",
            "version.published",
            "version.rolled_back",
            "model.retired",
        ]
        assert {fact["model_id"] for _, fact in facts} == {"m"}
        assert (facts[1][1]["version"], facts[1][1]["percent"]) == ("v2", 5)
        assert (facts[4][1]["version"], facts[4][1]["undone"]) == ("v1", "v2")

    async def test_a_decision_that_is_not_durable_is_not_told(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            on.told.clear()
            with pytest.raises(ConfigError):
                await on.ask(AddDraft("m", {"colour": "red"}))
            assert on.told == []

    def test_of_a_key_everything_is_told_but_what_proves_it(self) -> None:
        created = KeyCreated("key_1", "m", "laptop", "ww_abc", "the-hash")
        assert told([fact_of(created)]) == [("key.created", {"key_id": "key_1", "model_id": "m", "label": "laptop"})]
        assert told([fact_of(KeyRevoked("key_1"))]) == [("key.revoked", {"key_id": "key_1"})]


class TestConfiguration:
    async def test_what_another_one_changes_is_told_and_one_that_changes_nothing_is_not(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            on.told.clear()
            await on.ask(Reload())
            assert on.told == []
            on.write(model("m", version="v1"), model("n", version="n1"), head=HEAD.replace("hello", "good day"))
            await on.ask(Reload())
            [(kind, fact)] = [item for item in told(on.told) if item[0].startswith("config")]
        assert kind == "config.followed"
        assert (fact["published"], fact["retired"], fact["providers_changed"]) == (("n n1",), (), ("local",))

    async def test_why_one_is_refused_is_told(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            on.told.clear()
            on.write("[[models]]\nid = 3\n" * 25)
            with pytest.raises(ConfigError) as refused:
                await on.ask(Reload())
            [(kind, fact)] = told(on.told)
        assert kind == "config.refused"
        assert fact["source"] == refused.value.source
        assert list(fact["problems"]) == [str(problem) for problem in refused.value.problems][:20]
        assert fact["problem_count"] == len(refused.value.problems) > 20, "of many the first are told"


class TestProviders:
    async def test_a_breaker_is_told_as_it_opens_asks_and_closes(self) -> None:
        facts: list[Fact] = []
        board = HealthBoard(facts.append)
        async with stage(failing("first", REFUSED, times=1), breaker=BreakerPolicy(failures=1, open_s=15)) as on:
            settings = on.gate("first").settings
            gate = board.furnish(settings, anyio.current_time)
            for failure in (REFUSED, None):
                admission = gate.enter_nowait("first/m")
                assert isinstance(admission, Admission)
                with admission:
                    admission.settle(failure, 1.0)
                await anyio.sleep(15)
        assert told(facts) == [
            ("breaker.opened", {"provider": "first", "for_s": 15, "failure": "connect", "failure_status": None}),
            ("breaker.half_open", {"provider": "first", "target": "first/m"}),
            ("breaker.closed", {"provider": "first"}),
        ]

    async def test_a_hold_is_told_when_it_begins_and_not_each_time_it_is_confirmed(self) -> None:
        async with stage(failing("first", LIMITED), Watched("second")) as on:
            watch = on.bus.watch(["providers"])
            gate = on.gate("first")
            for _ in range(2):
                calls = [gate.enter_nowait("first/m") for _ in range(2)]
                for call in calls:
                    assert isinstance(call, Admission)
                    call.settle(LIMITED, 1.0)
                    gate.leave(call)
                await anyio.sleep(8)
            facts = await heard(watch)
        assert (
            told(facts)
            == [("hold.began", {"provider": "first", "target": "first/m", "reason": "rate_limited", "for_s": 7.0})] * 2
        )


class TestStorage:
    async def test_its_failure_is_told_once_and_so_is_its_recovery(self) -> None:
        async with stage(Watched()) as on:
            watch = on.bus.watch(["storage"])
            on.store.fail_always("the disk is full")
            for _ in range(2):
                await on.ask_for_error(RecordingResponder())
            on.store.heal()
            for _ in range(2):
                await on.ask(RecordingResponder())
            assert told(await heard(watch)) == [
                ("storage.unavailable", {"problem": "the disk is full"}),
                ("storage.recovered", {}),
            ]


class TestSinks:
    async def test_a_failure_is_told_once_and_so_is_the_recovery(self) -> None:
        async with works(settings()) as on:
            await on.wait_delivered()
            on.sinks["s"].break_down()
            await on.write([1])
            await anyio.sleep(60)
            failures = on.part().status.failures_in_row
            on.sinks["s"].mend()
            await on.wait_delivered()
            await settle()
            assert failures > 1
            (lost, first), (again, second) = told(on.told)
            assert (lost, first) == ("sink.unavailable", {"sink": "s", "problem": "the far side is gone"})
            assert (again, second["sink"]) == ("sink.recovered", "s")
            assert second["after_failures"] >= failures

    async def test_what_one_has_not_got_is_told_as_it_comes_about(self) -> None:
        async with works(settings()) as on:
            await on.write([1])
            await on.wait_delivered()
            on.sinks["s"].refuses = lambda record: "too large"
            await on.write([2])
            await on.wait_delivered()
            await settle()
            passed_over = {"sink": "s", "refused": 3, "dropped": 0, "lost": 0}
            assert told(on.told) == [("sink.passed_over", passed_over)]
            on.kill()
            await on.write([3])
            await on.wait_delivered()
            await settle()
            assert told(on.told)[1:] == [("sink.passed_over", passed_over)], "what was before is told nobody again"

    async def test_one_that_keeps_requests_out_is_told_and_so_is_its_end(self) -> None:
        async with works(settings(on_full="fail_closed", max_lag=1)) as on:
            on.sinks["s"].break_down()
            await on.write(range(3))
            await anyio.sleep(5)
            on.sinks["s"].mend()
            await on.wait_delivered()
            await settle()
            facts = [item for item in told(on.told) if item[0].startswith("sink.gateway")]
            assert facts == [("sink.gateway_closed", {"sink": "s"}), ("sink.gateway_opened", {"sink": "s"})]


class TestActors:
    async def test_a_kill_and_the_restart_after_it_are_told(self) -> None:
        async with stage(Watched()) as on:
            watch = on.bus.watch(["actors"])
            on.kill("wardwright/catalog")
            await settle()
            facts = await heard(watch)
        (ended, first), (again, second) = told(facts)
        assert (ended, first["path"], first["reason"]) == ("actor.ended", "wardwright/catalog", "killed")
        assert first["is_restarted"] is True
        assert (again, second["path"], second["restarts"]) == ("actor.restarted", "wardwright/catalog", 1)

    async def test_requests_come_and_go_without_a_word(self) -> None:
        async with stage(Watched()) as on:
            watch = on.bus.watch(["actors"])
            await on.ask(RecordingResponder(), caller=Caller(session_id=Attributed("s1", "header")))
            await settle()
            assert await heard(watch) == []

    @pytest.mark.parametrize(
        ("event", "kind", "path"),
        [
            (Progress("wardwright", CHILD), "actor.restarted", CHILD.path),
            (RestartDelayed("wardwright", CHILD, 1.23456, 3), "actor.restart_delayed", CHILD.path),
            (
                SupervisorReport("wardwright", "start_error", ExitReason.KILLED, CHILD),
                "actor.start_failed",
                CHILD.path,
            ),
            (
                SupervisorReport("wardwright/runs", "shutdown_error", ExitReason.KILLED, None, 7),
                "actor.stop_failed",
                "wardwright/runs",
            ),
            (
                SupervisorReport("wardwright", "shutdown", ExitReason.KILLED, CHILD),
                "supervisor.gave_up",
                "wardwright",
            ),
            (Unstopped("wardwright/edge", ()), "actor.stop_failed", "wardwright/edge"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_supervisors_do_is_told(self, event: Any, kind: str, path: str) -> None:
        fact = fact_of_tree(event)
        assert fact is not None
        [(told_kind, facts)] = told([fact])
        assert (told_kind, facts["path"]) == (kind, path)

    def test_first_starts_and_unread_messages_are_not(self) -> None:
        first = Progress("wardwright", ChildInfo("wardwright/edge", "Edge", "permanent", 30.0, "worker"))
        assert fact_of_tree(first) is None
        assert fact_of_tree(DeadLetters("wardwright/edge", ExitReason.KILLED, {})) is None


async def test_nobody_watches_and_nothing_of_requests_is_kept() -> None:
    async with stage(Watched()) as on:
        start = on.bus.watch(["keys"]).start_id
        assert start is not None
        await on.ask(RecordingResponder())
        assert await _since(on, start) == []


async def _since(on: Stage, id: str) -> list[Fact]:
    return await heard(on.bus.watch(TOPICS, id))
