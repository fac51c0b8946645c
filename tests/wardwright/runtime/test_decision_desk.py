"""Decisions without consequences: simulated as they would be made, replayed as they were, and under another version."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.wardwright.runtime.catalog_rig import Rig, draft, model, rig
from tests.wardwright.runtime.stage import LetterCounter
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import Forbidden, NotFound, UnknownModel
from wardwright.domain.route import SessionFacts
from wardwright.planner.supplied import SuppliedFacts
from wardwright.receipts.receipt import Receipt
from wardwright.runtime.catalog_calls import AddDraft, Publish
from wardwright.runtime.checkpointer import StoreBoard
from wardwright.runtime.decision_desk import DecisionDesk, Replay
from wardwright.runtime.exact import ExactCounts
from wardwright.runtime.facts import FactFinder
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.opening import Opening
from wardwright.runtime.sessions import Sessions
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.wire.openai import parse_chat_request

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

INNER = model("inner", "local/large", version="in1", route_root="in-order")
GUARDED = """
[[models]]
id = "m"
version = "v1"
route_root = "steps"
[[models.cascades]]
id = "steps"
models = ["paid", "local/small", "wardwright/inner"]
[[models.guards]]
id = "paid"
require = { tenant_id = ["acme"] }
model = "local/large"
"""
BLEND = {
    "version": "blend",
    "alloys": [
        {
            "id": "blend",
            "strategy": "round_robin",
            "constituents": [{"model": "local/small"}, {"model": "local/large"}],
        }
    ],
}
ACME = Caller(tenant_id=Attributed("acme", "header"))
IN_SESSION = Caller(session_id=Attributed("s1", "header"))


@dataclass
class At:
    """A desk before a running catalog."""

    on: Rig
    desk: DecisionDesk
    sessions: Sessions

    async def simulate(
        self, name: str = "m", *, caller: Caller | None = None, version: str | None = None, **facts: Any
    ) -> Receipt:
        supplied = msgspec.convert(facts, SuppliedFacts)
        return await self.desk.simulate(
            request(name), caller=caller or Caller(), request_id="req_1", version=version, supplied=supplied
        )


@asynccontextmanager
async def desk(folder: Path, *models: str) -> AsyncIterator[At]:
    async with rig(folder, *(models or (GUARDED, INNER))) as on:
        exact_counts, ledger = ExactCounts(LetterCounter()), Ledger(now=lambda: 0.0)
        finder = FactFinder(exact_counts, HealthBoard(), ledger, now=on.system.now, draw=lambda below: 0)
        store = StoreBoard()
        store.replace(MemoryReceiptStore())
        sessions = Sessions(on.system, store)
        made = DecisionDesk(
            sessions,
            board=on.board,
            versions=on.versions,
            facts=finder,
            opening=Opening("boot_1"),
            now=lambda: 1_800_000_000.0,
            draw=lambda below: 0,
        )
        yield At(on, made, sessions)


def request(name: str) -> ChatRequest:
    return parse_chat_request(
        msgspec.json.encode({"model": name, "messages": [{"role": "user", "content": "hello"}], "stream": True})
    )


def order(receipt: Receipt) -> list[str]:
    return [target.model for target in receipt.decision.selected_models]


def ended(receipt: Receipt) -> tuple[str, str | None]:
    assert receipt.final is not None
    return receipt.final.status, receipt.final.error_code


class TestSimulations:
    async def test_the_receipt_is_that_of_a_request_whose_provider_was_never_called(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            receipt = await at.simulate("wardwright/m")
        assert (receipt.simulation, ended(receipt), receipt.attempts) == (True, ("simulated", None), ())
        assert order(receipt) == ["local/small", "local/large"]
        assert (receipt.model_id, receipt.model_version) == ("m", "v1")
        assert (receipt.request.model, receipt.request.stream, receipt.request.request_id) == (
            "wardwright/m",
            True,
            "req_1",
        )
        assert receipt.decision.facts.versions == {"m": "v1", "inner": "in1"}

    async def test_the_caller_counts_as_it_would(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            receipt = await at.simulate(caller=ACME)
        assert order(receipt) == ["local/large", "local/small"]
        assert receipt.decision.facts.caller == {"tenant_id": "acme"}

    async def test_supplied_facts_stand_in_for_gathered_ones(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            long = await at.simulate(request={"estimated_prompt_tokens": 20_000})
            ill = await at.simulate(health=[{"subject": "local/small", "reason": "breaker_open"}])
            known = await at.desk.simulate(
                request("m"),
                caller=Caller(),
                request_id="req_1",
                supplied=SuppliedFacts(caller={"tenant_id": "acme"}),
            )
            held = await at.simulate(constraints={"m": {"allowed_targets": ["local/large"]}})
        assert (order(long), long.request.estimated_prompt_tokens) == (["local/large"], 20_000)
        assert order(ill) == ["local/large"]
        assert order(known) == ["local/large", "local/small"]
        assert order(held) == ["local/large"]

    @pytest.mark.parametrize(
        ("facts", "expected"),
        [
            ({"request": {"estimated_prompt_tokens": 99_999}}, ("route_blocked", "context_length_exceeded")),
            ({"constraints": {"m": {"allowed_targets": []}}}, ("route_blocked", "route_blocked")),
            ({"constraints": {"m": {"blocked_by": "rule"}}}, ("policy_blocked", "policy_blocked")),
            ({"health": [{"subject": "local", "reason": "rate_limited"}]}, ("route_blocked", "rate_limit_exceeded")),
        ],
    )
    async def test_what_would_be_refused_says_so(
        self, tmp_path: Path, facts: Mapping[str, Any], expected: tuple[str, str]
    ) -> None:
        async with desk(tmp_path) as at:
            receipt = await at.simulate(**facts)
        assert receipt.simulation
        assert ended(receipt) == expected

    async def test_a_draft_can_be_tried_before_it_answers(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            await at.on.ask(AddDraft("m", {**draft("wardwright/inner"), "version": "next"}))
            receipt = await at.simulate(version="next")
            assert (receipt.model_version, order(receipt)) == ("next", ["local/large"])
            assert order(await at.simulate()) == ["local/small", "local/large"]

    async def test_unknown_models_and_versions_are_refused(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            with pytest.raises(UnknownModel):
                await at.simulate("nobody")
            with pytest.raises(NotFound, match="no version 'v9'"):
                await at.simulate(version="v9")
            with pytest.raises(NotFound, match="no model 'nobody'"):
                await at.simulate("nobody", version="v1")

    async def test_an_internal_model_can_be_looked_at(self, tmp_path: Path) -> None:
        internal = '\n[[models]]\nid = "hidden"\naccess = { unkeyed = "internal" }\n'
        async with desk(tmp_path, internal) as at:
            with pytest.raises(Forbidden):
                at.on.board.resolve("hidden")
            assert ended(await at.simulate("hidden")) == ("simulated", None)

    async def test_a_session_is_looked_at_and_not_touched(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            new = await at.simulate(caller=IN_SESSION)
            await at.sessions.next_turn("m", "s1")
            seen = [(await at.simulate(caller=IN_SESSION)).session_turn for _ in range(2)]
            supposed = await at.simulate(caller=IN_SESSION, session={"turn": 7})
            without = await at.simulate(caller=IN_SESSION, session=None)
            turn = await at.sessions.next_turn("m", "s1")
        assert (new.session_turn, seen, supposed.session_turn, without.session_turn) == (1, [2, 2], 7, None)
        assert turn == SessionFacts(2)


class TestReplays:
    async def test_a_decision_comes_out_the_same_bit_for_bit(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            for caller in (Caller(), ACME, IN_SESSION):
                receipt = await at.simulate(caller=caller)
                found = at.desk.replay(receipt)
                assert (found.identical, found.differences) == (True, ())
                assert msgspec.json.encode(found.recomputed) == msgspec.json.encode(receipt.decision)
                assert found.versions == {"m": "v1", "inner": "in1"}

    async def test_later_versions_change_nothing_of_it(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            receipt = await at.simulate(caller=ACME)
            await at.on.ask(AddDraft("inner", {**draft("local/small"), "version": "in2"}))
            await at.on.ask(Publish("inner", "in2"))
            await at.on.ask(AddDraft("m", {**draft("local/small"), "version": "v2"}))
            await at.on.ask(Publish("m", "v2"))
            assert at.desk.replay(receipt).identical

    async def test_a_record_that_was_tampered_with_shows_what_differs(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            receipt = await at.simulate()
            forged = msgspec.structs.replace(receipt.decision, selected_model="local/large", route_blocked=True)
            found = at.desk.replay(msgspec.structs.replace(receipt, decision=forged))
        assert not found.identical
        assert [(each.field, each.recorded, each.recomputed) for each in found.differences] == [
            ("selected_model", "local/large", "local/small"),
            ("route_blocked", True, False),
        ]

    async def test_another_version_decides_the_same_request(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            await at.on.ask(AddDraft("m", {**draft("local/large"), "version": "next"}))
            receipt = await at.simulate()
            found = at.desk.replay(receipt, "next")
        assert (found.identical, found.versions) == (False, {"m": "next"})
        assert found.recomputed.selected_model == "local/large"
        assert "facts" not in changed(found)
        assert {"route_id", "selected_model", "selected_models"} <= changed(found)

    async def test_another_version_of_the_same_graph_changes_no_decision(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            artifact = at.on.desk.version("m", "v1").artifact
            await at.on.ask(AddDraft("m", {**artifact, "version": "next", "description": "the same"}))
            found = at.desk.replay(await at.simulate(), "next")
        assert (found.identical, found.versions) == (True, {"m": "next", "inner": "in1"})

    async def test_another_versions_guards_see_the_recorded_caller(self, tmp_path: Path) -> None:
        plain = model("m", "local/small", version="v1", route_root="in-order")
        guarded = {
            "version": "next",
            "guards": [
                {
                    "id": "paid",
                    "require": {"tenant_id": ["acme"]},
                    "model": "local/large",
                    "otherwise": "local/small",
                }
            ],
        }
        async with desk(tmp_path, plain) as at:
            await at.on.ask(AddDraft("m", guarded))
            known, unknown = await at.simulate(caller=ACME), await at.simulate()
            assert known.decision.facts.caller == {}
            assert at.desk.replay(known, "next").recomputed.selected_model == "local/large"
            assert at.desk.replay(unknown, "next").recomputed.selected_model == "local/small"

    async def test_a_caller_who_was_erased_and_counts_cannot_be_made_up(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            receipt = await at.simulate(caller=ACME)
            assert receipt.decision.facts.caller
            facts = msgspec.structs.replace(receipt.decision.facts, caller={"erased": "0" * 32})
            erased = msgspec.structs.replace(
                receipt,
                caller=Caller(erased="0" * 32),
                decision=msgspec.structs.replace(receipt.decision, facts=facts),
            )
            for version in (None, "v1"):
                with pytest.raises(NotFound, match="who was erased from") as refused:
                    at.desk.replay(erased, version)
                assert refused.value.code == "caller_erased"

    async def test_another_versions_draws_are_made_up_from_the_receipts_id_and_repeat(self, tmp_path: Path) -> None:
        plain = model("m", "local/small", version="v1", route_root="in-order")
        async with desk(tmp_path, plain) as at:
            await at.on.ask(AddDraft("m", BLEND))
            receipts = [
                msgspec.structs.replace(await at.simulate(), receipt_id=f"rcpt_{number}") for number in range(40)
            ]
            found = [at.desk.replay(receipt, "blend").recomputed.selected_model for receipt in receipts]
            assert found == [at.desk.replay(receipt, "blend").recomputed.selected_model for receipt in receipts]
        assert set(found) == {"local/small", "local/large"}

    async def test_a_version_that_is_not_known_is_refused(self, tmp_path: Path) -> None:
        async with desk(tmp_path) as at:
            receipt = await at.simulate()
            with pytest.raises(NotFound, match="no version 'v9'"):
                at.desk.replay(receipt, "v9")
            gone = msgspec.structs.replace(receipt.decision.facts, versions={"m": "v1", "inner": "in9"})
            decision = msgspec.structs.replace(receipt.decision, facts=gone)
            with pytest.raises(NotFound, match="no version 'in9'"):
                at.desk.replay(msgspec.structs.replace(receipt, decision=decision))


def changed(found: Replay) -> set[str]:
    return {difference.field for difference in found.differences}
