"""Where a text may be cut: behind sentences, lines, code blocks and JSON values, whatever the pieces it came in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.policy.pattern_samples import cuttings
from wardwright.policy.boundaries import BoundaryGate


@pytest.mark.parametrize(
    ("text", "leaves", "waits"),
    [
        ("One. Two", "One. ", "Two"),
        ("3.14 is pi", "", "3.14 is pi"),
        ("What? Yes!", "What? ", "Yes!"),
        ("a line\nand", "a line\n", "and"),
        ("你好。再", "你好。", "再"),
        ("see:\n```py\nx = 1. \ny\n", "see:\n", "```py\nx = 1. \ny\n"),
        ("```py\nx\n```\nso", "```py\nx\n```\n", "so"),
        ("~~~\n```\n~~~\n", "~~~\n```\n~~~\n", ""),
        (' {"a": "}. ", "b": [1', "", ' {"a": "}. ", "b": [1'),
        ('{"a": "\\"}", "b": [1]} and', '{"a": "\\"}", "b": [1]}', " and"),
    ],
)
def test_text_leaves_up_to_the_last_boundary(text: str, leaves: str, waits: str) -> None:
    gate = BoundaryGate()
    assert "".join(gate.feed(character) for character in text) == leaves
    assert gate.held == waits
    assert gate.finish() == waits
    assert gate.held == ""


@given(st.text(alphabet='ab.!\n `~{}["\\', max_size=30), st.data())
def test_the_cut_never_shows_and_nothing_is_lost(text: str, data: st.DataObject) -> None:
    whole, pieces = BoundaryGate(), BoundaryGate()
    left = whole.feed(text)
    assert "".join(pieces.feed(piece) for piece in data.draw(cuttings(text))) == left
    assert left + whole.finish() == text
