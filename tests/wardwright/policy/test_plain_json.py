"""JSON text with needless escapes undone: the same value, one spelling, whatever the cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.policy.pattern_samples import cuttings
from wardwright.policy.plain_json import PlainJson

VALUES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


def plain(*pieces: str) -> str:
    reader = PlainJson()
    return "".join(reader.feed(piece) for piece in pieces) + reader.finish()


@pytest.mark.parametrize(
    ("escaped", "expected"),
    [
        (r"\u0041\u00e9", "Aé"),
        (r"\/a\\\/b", r"/a\\/b"),
        (r"\\u0041", r"\\u0041"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\ud83d!", r"\ud83d!"),
        (r"\ud83d\n", r"\ud83d\n"),
        (r"\u0022\u005c\u000a\u0001", r"\"\\\n\u0001"),
        (r"\uzz \q \u12", r"\uzz \q \u12"),
        ("\\", "\\"),
    ],
)
def test_an_escape_is_undone_where_it_is_needless(escaped: str, expected: str) -> None:
    assert plain(escaped) == plain(*escaped) == expected


@given(VALUES, st.data())
def test_the_value_stays_the_same_and_the_cut_never_shows(value: object, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=True)
    read = plain(*data.draw(cuttings(text)))
    assert json.loads(read) == value
    assert read == plain(json.dumps(value, ensure_ascii=False)) == plain(read)
