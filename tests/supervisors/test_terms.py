from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from supervisors._terms import DEEPEST, LONGEST, MOST, shorten, shorten_view


def test_what_is_small_is_shown_as_it_is() -> None:
    small = {"name": "a", "count": 3, "share": 0.5, "open": True, "none": None, "list": [1, "two"], "map": {"x": 1}}
    assert shorten_view(small) == small


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shorten("x" * LONGEST) == "x" * LONGEST
    assert shorten("x" * (LONGEST + 7)) == "x" * LONGEST + "… <7 more>"


def test_bytes_are_only_counted() -> None:
    assert [shorten(value) for value in (b"abc", bytearray(4), memoryview(b"12"))] == [
        "<3 bytes>",
        "<4 bytes>",
        "<2 bytes>",
    ]


def test_of_many_members_the_first_are_shown() -> None:
    assert shorten(list(range(MOST + 2))) == [*range(MOST), "<2 more>"]
    assert shorten(tuple(range(3))) == [0, 1, 2]
    many = shorten({number: number for number in range(MOST + 5)})
    assert isinstance(many, dict)
    assert (len(many), many["…"], many["0"]) == (MOST + 1, "<5 more>", 0)


def test_what_is_too_deep_is_only_counted() -> None:
    nested: Any = [1, 2]
    for _ in range(DEEPEST):
        nested = [nested]
    deep: Any = {"x": 1}
    for _ in range(DEEPEST):
        deep = {"in": deep}
    assert str(shorten(nested)) == "[" * DEEPEST + "'<2 members>'" + "]" * DEEPEST
    assert "<1 entries>" in str(shorten(deep))


def test_a_circle_comes_to_an_end() -> None:
    circle: list[object] = []
    circle.append(circle)
    assert "<1 members>" in str(shorten(circle))


def test_anything_else_is_its_repr_if_it_has_one() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("secret")

    assert shorten(range(3)) == "range(0, 3)"
    assert shorten(Broken()) == "<Broken, whose repr raised ValueError>"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=60,
)


@given(VALUES)
def test_whatever_comes_out_is_plain_and_bounded(value: object) -> None:
    def check(shown: object, depth: int) -> None:
        assert depth <= DEEPEST
        if isinstance(shown, dict):
            assert len(shown) <= MOST + 1
            for key, member in shown.items():
                assert isinstance(key, str)
                check(member, depth + 1)
        elif isinstance(shown, list):
            assert len(shown) <= MOST + 1
            for member in shown:
                check(member, depth + 1)
        else:
            assert shown is None or isinstance(shown, bool | int | float | str)
            assert not isinstance(shown, str) or len(shown) <= LONGEST + 20

    check(shorten(value), 0)
