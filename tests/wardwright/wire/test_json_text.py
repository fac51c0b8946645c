import msgspec
import pytest

from wardwright.wire.json_text import JSON_FAULTS, check_utf8, find_fault


class Item(msgspec.Struct):
    name: str
    flag: bool | None = None
    content: str | list[int] | None = None
    count: int | None = None


DECODER = msgspec.json.Decoder(list[Item])


def said(text: bytes) -> str:
    try:
        check_utf8(text)
        DECODER.decode(text)
    except JSON_FAULTS as fault:
        return str(find_fault(fault, text))
    raise AssertionError("the text has no fault")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'[{"name":3}]', "[0].name: expected a string, got a number"),
        (b'[{"name":"a","flag":"yes"}]', "[0].flag: expected true, false or null, got a string"),
        (
            b'[{"name":"a"},{"name":"b","content":{}}]',
            "[1].content: expected a string, a list of parts or null, got an object",
        ),
        (b'[{"name":"a","count":true}]', "[0].count: expected a whole number or null, got a boolean"),
        (b'[{"name":"a","count":1e999}]', "[0].count: number out of range"),
        (b'[{"flag":true}]', "[0].name: required, but missing"),
        (b"{}", "expected a list, got an object"),
        (b'[{"name":"a"}\n  oops]', "is not JSON: expected ',' or ']' at line 2, column 3"),
        (b"[\n\n]]", "is not JSON: trailing characters at line 3, column 2"),
        (b"[NaN]", "is not JSON: invalid character at line 1, column 2"),
        (b" \n", "is empty"),
        (b"[", "ends too early: a quote or bracket is not closed, or an escaped surrogate has no partner"),
        (b'["\xff"]', "is not valid UTF-8 at byte 2"),
        (b'[{"name":"a","other":' + b"[" * 100_000, "is nested too deeply"),
    ],
)
def test_names_the_place_and_the_problem(text: bytes, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize("escape", [rb"\ud800 and more", rb"\udc00", rb"\ud800\u0041"])
def test_half_a_surrogate_pair_is_called_by_its_name(escape: bytes) -> None:
    assert "surrogate without its partner" in said(b'[{"name":"' + escape + b'"}]')
