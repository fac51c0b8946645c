"""Exact counts beside the traffic: made only where they may decide, and in turns with everybody else."""

import anyio
import pytest

from tests.wardwright.runtime.stage import LetterCounter, chat_request
from wardwright.domain.route import Composition, ModelDefinition, RequestFacts, Target
from wardwright.planner.estimate import PIECE_CHARACTERS
from wardwright.runtime.exact import ExactCounts

pytestmark = pytest.mark.anyio


def composition(window: int) -> Composition:
    target = Target("p/m", "p", "m", window, tokenizer="o200k_base")
    return Composition(ModelDefinition("m", "1", "p/m", (), (target,)))


async def test_far_from_every_window_nothing_is_counted() -> None:
    counter, facts = LetterCounter(), RequestFacts(100)
    assert await ExactCounts(counter).refine(facts, chat_request(), composition(1000)) is facts
    assert counter.loaded == []


async def test_near_a_window_the_count_decides_and_is_a_fact() -> None:
    counts = ExactCounts(LetterCounter())
    facts = await counts.refine(RequestFacts(100, 20), chat_request(), composition(110))
    assert facts.exact_prompt_tokens == {"o200k_base": len("user" + "hi") + 3 + 3}
    assert facts.window_needed_at(composition(110).root.targets[0]) == len("user" + "hi") + 6 + 20
    assert facts.required_window == 120  # the estimate stays what it was


async def test_the_targets_of_a_nested_model_are_worth_a_count_too() -> None:
    nested = composition(100).root
    outer = Composition(ModelDefinition("outer", "1", "wardwright/m", (), ()), {"m": nested})
    facts = await ExactCounts(LetterCounter()).refine(RequestFacts(100), chat_request(), outer)
    assert "o200k_base" in facts.exact_prompt_tokens


async def test_a_long_count_lets_others_in_after_every_piece() -> None:
    pieces = 20
    request = chat_request(messages=[{"role": "user", "content": "word " * (pieces * PIECE_CHARACTERS // 5)}])
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    counts = ExactCounts(LetterCounter())
    await counts.load(["o200k_base"])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(somebody_else)
        await counts.refine(RequestFacts(100), request, composition(100))
        tasks.cancel_scope.cancel()
    assert turns >= pieces


async def test_a_vocabulary_is_loaded_once_however_many_ask() -> None:
    counter = LetterCounter()
    counts = ExactCounts(counter)
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(counts.refine, RequestFacts(100), chat_request(), composition(100))
    assert counter.loaded == ["o200k_base"]
