"""Patterns and texts for properties: small alphabets, so that what is rare in life is common here."""

import re
from itertools import pairwise

from hypothesis import strategies as st

ANCHORS = (r"\b", r"\B", "^", "$")
ATOMS = ("a", "b", "c", "ab", "abc", ".", "[ab]", "[^a]", r"\w", r"\d", r"\s", "é", "[[:alpha:]]")
TEXTS = st.text(alphabet="abcAé1 \n-", max_size=12)


def expressions(*, anchors: bool = True, unbounded: bool = True) -> st.SearchStrategy[str]:
    """Regular expressions of the language which `re` reads as well (but for classes in double brackets)."""
    repeats = ("?", "{2}", "{1,3}", *(("*", "+", "{2,}") if unbounded else ()))
    atoms = st.sampled_from((*ATOMS, *(ANCHORS if anchors else ())))
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.lists(inner, min_size=2, max_size=3).map("".join),
            st.lists(inner, min_size=2, max_size=3).map(lambda options: f"(?:{'|'.join(options)})"),
            st.tuples(inner, st.sampled_from(repeats)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        ),
        max_leaves=6,
    )


def matches_of(expression: str, text: str, flags: int = 0) -> set[tuple[int, int]]:
    """Every match that is not empty, by the standard library: all beginnings and all ends. `$` is the end of the text alone."""
    expression = expression.replace("[[:alpha:]]", "[A-Za-z]")
    if not flags & re.MULTILINE:
        expression = re.sub(r"(?<!\\)\$", lambda _: r"\Z", expression)
    found = set()
    for end in range(1, len(text) + 1):
        ending = re.compile(rf"(?:{expression})(?=(?s:.{{{len(text) - end}}})\Z)", re.ASCII | flags)
        found |= {(start, end) for start in range(end) if ending.match(text, start)}
    return found


def earliest_by_end(found: set[tuple[int, int]]) -> dict[int, int]:
    """The earliest beginning for every end."""
    return {end: min(start for start, other in found if other == end) for _, end in found}


@st.composite
def cuttings(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces."""
    places = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=len(text))))
    bounds = [0, *(place for place in places if place < len(text)), len(text)]
    pieces = [text[begin:end] for begin, end in pairwise(bounds)]
    return [piece for piece in pieces if piece]
