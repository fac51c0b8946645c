import pytest

from wardwright.wire.trace import parse_traceparent, trace_id_of

VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_valid_header_is_kept_and_names_its_trace() -> None:
    assert parse_traceparent(f" {VALID} ") == VALID
    assert trace_id_of(VALID) == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        VALID.upper(),
        VALID[:-1],
        VALID + "-00",
        VALID.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        VALID + "\r\nx: y",
    ],
)
def test_anything_else_is_as_if_it_were_not_there(header: str | None) -> None:
    assert parse_traceparent(header) is None
