"""What an answer costs."""

import pytest

from wardwright.domain.chat import Usage
from wardwright.domain.route import Price
from wardwright.planner.cost import cost_nano_usd, estimated_usage, total_usage

PRICE = Price(input=0.15, output=0.60, cached_input=0.075)


@pytest.mark.parametrize(
    ("usage", "price", "nano_usd"),
    [
        (Usage(1_000_000, 0), PRICE, 150_000_000),
        (Usage(0, 1_000_000), PRICE, 600_000_000),
        (Usage(1, 1), PRICE, 750),
        (Usage(1000, 0, cached_prompt_tokens=400), PRICE, 600 * 150 + 400 * 75),
        (Usage(1000, 0, cached_prompt_tokens=400), Price(0.15, 0.60), 150_000),
        (Usage(10, 0, cached_prompt_tokens=400), PRICE, 10 * 75),
        (Usage(7, 9), Price(0, 0), 0),
    ],
)
def test_tokens_cost_what_a_million_of_them_is_declared_to_cost(usage: Usage, price: Price, nano_usd: int) -> None:
    assert cost_nano_usd(usage, price) == nano_usd


def test_what_a_provider_does_not_say_is_estimated_and_marked() -> None:
    assert estimated_usage(40, 9) == Usage(40, 3, "estimated")
    assert estimated_usage(40, 0) == Usage(40, 0, "estimated")


def test_attempts_add_up_and_an_estimate_marks_the_sum() -> None:
    assert total_usage([]) is None
    assert total_usage([Usage(1, 2), Usage(3, 4, cached_prompt_tokens=1)]) == Usage(4, 6, "reported", 1)
    assert total_usage([Usage(1, 2), Usage(3, 4, "estimated")]) == Usage(4, 6, "estimated")
