"""What is gathered for a plan: only what some part of the graph looks at."""

import pytest

from tests.wardwright.runtime.stage import LetterCounter, chat_request
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.money import as_nano_usd
from wardwright.domain.route import (
    Alloy,
    AlloyStrategy,
    Cascade,
    Composition,
    Constituent,
    Guard,
    ModelDefinition,
    Requirements,
    Selector,
    SessionFacts,
    Target,
)
from wardwright.runtime.exact import ExactCounts
from wardwright.runtime.facts import FactFinder, Gathered
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger

pytestmark = pytest.mark.anyio

TARGETS = (Target("p/a", "p", "a", 4096), Target("p/b", "p", "b", 4096))
CALLER = Caller(
    tenant_id=Attributed("acme", "header"), application_id=Attributed("editor", "header"), tags=("beta", "staff")
)


async def gather(selector: Selector, session: SessionFacts | None = None, ledger: Ledger | None = None) -> Gathered:
    exact_counts = ExactCounts(LetterCounter())
    finder = FactFinder(
        exact_counts, HealthBoard(), ledger or Ledger(now=lambda: 0.0), now=lambda: 0.0, draw=lambda below: below - 1
    )
    composition = Composition(ModelDefinition("m", "1", selector.id, (selector,), TARGETS))
    return await finder.gather(composition, chat_request(), CALLER, session)


async def test_a_graph_without_guards_and_draws_records_neither_the_caller_nor_a_seed() -> None:
    gathered = await gather(Cascade("steps", ("p/a", "p/b")), SessionFacts(2))
    assert (gathered.inputs.caller, gathered.inputs.caller_tags, gathered.inputs.seed) == ({}, (), 0)
    assert gathered.inputs.session == SessionFacts(2)
    assert gathered.inputs.request.estimated_prompt_tokens == 2


async def test_of_the_caller_only_what_a_guard_looks_at_is_recorded() -> None:
    by_tenant = await gather(Guard("g", "p/a", Requirements(tenant_id=("acme",), consuming_user_id=("u",))))
    assert (by_tenant.inputs.caller, by_tenant.inputs.caller_tags) == ({"tenant_id": "acme"}, ())
    by_tag = await gather(Guard("g", "p/a", Requirements(tags=("beta",))))
    assert (by_tag.inputs.caller, by_tag.inputs.caller_tags) == ({}, ("beta",)), "no other tag of the caller's"


@pytest.mark.parametrize(
    ("strategy", "seed"), [("weighted", 2**53 - 1), ("round_robin", 2**53 - 1), ("deterministic_all", 0)]
)
async def test_a_draw_is_made_where_an_alloy_may_need_it(strategy: AlloyStrategy, seed: int) -> None:
    gathered = await gather(Alloy("blend", strategy, (Constituent("p/a"), Constituent("p/b"))))
    assert gathered.inputs.seed == seed


async def test_what_a_guard_may_spend_is_looked_up_for_the_targets_behind_it() -> None:
    ledger = Ledger(now=lambda: 0.0)
    ledger.note_spending("m", "p/a", as_nano_usd(0.25))
    ledger.note_spending("m", "p/b", as_nano_usd(9))
    guard = Guard("paid", "p/a", Requirements(max_usd_per_day=1.0), otherwise="p/b")
    assert (await gather(guard, ledger=ledger)).inputs.spent_usd == {"paid": 0.25}
