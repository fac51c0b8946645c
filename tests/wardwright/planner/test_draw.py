"""Weighted draws: reproducible, without replacement, in proportion to the weights."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from wardwright.planner.draw import draw_order

seeds = st.integers(0, 2**53 - 1)


@given(seeds, st.lists(st.integers(1, 10**6), max_size=12))
def test_every_index_is_drawn_once(seed: int, weights: list[int]) -> None:
    assert sorted(draw_order(seed, "blend", weights)) == list(range(len(weights)))


def test_the_same_seed_draws_the_same_order_everywhere() -> None:
    assert [draw_order(seed, "blend", [1, 3, 2]) for seed in range(4)] == [[0, 2, 1], [1, 2, 0], [1, 2, 0], [2, 1, 0]]


def test_two_choices_of_one_request_do_not_fall_alike() -> None:
    alike = sum(draw_order(seed, "inner", [1, 1]) == draw_order(seed, "outer", [1, 1]) for seed in range(1000))
    assert 400 < alike < 600


def test_first_places_are_shared_by_weight_within_statistical_bounds() -> None:
    weights, draws = [1, 3, 6], 20_000
    firsts = Counter(draw_order(seed, "blend", weights)[0] for seed in range(draws))
    expected = [draws * weight / sum(weights) for weight in weights]
    chi_squared = sum((firsts[index] - share) ** 2 / share for index, share in enumerate(expected))
    assert chi_squared < 13.8  # two degrees of freedom: one in a thousand


def test_second_places_are_shared_by_the_weights_that_are_left() -> None:
    orders = [draw_order(seed, "blend", [1, 3, 6]) for seed in range(30_000)]
    seconds = Counter(order[1] for order in orders if order[0] == 2)
    assert 0.23 < seconds[0] / (seconds[0] + seconds[1]) < 0.27
