"""Filters and pages over receipts."""

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.receipts.receipt_samples import AT, entries, fallback_story, opened
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.errors import RequestError
from wardwright.domain.tools import ToolContext, ToolIdentity
from wardwright.receipts import query
from wardwright.receipts.events import Closed, Entry, decode_entry
from wardwright.receipts.fold import fold
from wardwright.receipts.query import MAX_LIMIT, ReceiptFilter, Unlike, cursor, page
from wardwright.testing.sample_receipts import Written, histories, queries

RECEIPT = fold(entries(fallback_story()))


def receipt_log(count: int) -> list[tuple[Entry, ...]]:
    """Receipts newest first; every third one is of tenant `t`."""
    callers = [Caller(tenant_id=Attributed("t" if number % 3 == 0 else "u", "header")) for number in range(count)]
    return [
        entries([opened(caller=caller), Closed("completed", 0)], receipt_id=f"rcpt_{number:05d}", at=AT + number)
        for number, caller in enumerate(callers)
    ][::-1]


def below(log: list[tuple[Entry, ...]], before: str | None) -> Iterator[tuple[Entry, ...]]:
    return (record for record in log if before is None or record[0].receipt_id < before)


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("model", "coding-balanced", "coding"),
        ("model", "wardwright/coding-balanced", "wardwright/coding"),
        ("model_id", "coding-balanced", "wardwright/coding-balanced"),
        ("model_version", "2026-11-22.1", "2026-11-22"),
        ("session_id", "s1", "S1"),
        ("run_id", "r1", "r2"),
        ("status", "completed", "interrupted"),
        ("selected_provider", "cloud", "local"),
        ("selected_model", "cloud/large", "local/small"),
        ("simulation", "false", "true"),
        ("simulation", "FALSE", "no"),
        ("created_at_min", "1800000001", "1800000002"),
        ("created_at_max", "1800000001", "1800000000"),
    ],
)
def test_a_filter_is_exact(name: str, value: str, other: str) -> None:
    assert ReceiptFilter.parse({name: value}).matches(RECEIPT)
    assert not ReceiptFilter.parse({name: other}).matches(RECEIPT)


@pytest.mark.parametrize("name", ["tenant_id", "application_id", "consuming_agent_id", "consuming_user_id"])
def test_a_caller_filter_finds_only_callers_who_stated_that_id(name: str) -> None:
    stated = fold(entries([opened(caller=msgspec.structs.replace(Caller(), **{name: Attributed("me", "header")}))]))
    assert ReceiptFilter.parse({name: "me"}).matches(stated)
    assert not ReceiptFilter.parse({name: "me"}).matches(RECEIPT)


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("tool_namespace", "openai.function", "openai.tool"),
        ("tool_name", "search", "shell"),
        ("tool_phase", "planning", "result_interpretation"),
        ("tool_source", "tool_choice", "declared_tool"),
        ("tool_call_id", "call_1", "call_2"),
    ],
)
def test_a_tool_filter_finds_requests_about_that_tool(name: str, value: str, other: str) -> None:
    tool = ToolIdentity("openai.function", "search", "tool_choice")
    about = fold(entries([opened(tools=ToolContext("planning", "exact", tool, ("shell",), 1, "call_1"))]))
    assert ReceiptFilter.parse({name: value}).matches(about)
    assert not ReceiptFilter.parse({name: other}).matches(about)
    assert not ReceiptFilter.parse({name: value}).matches(RECEIPT)


@pytest.mark.parametrize("name", ["tool_policy_status", "tool_risk_class"])
def test_no_receipt_says_what_rules_made_of_a_tool(name: str) -> None:
    assert not ReceiptFilter.parse({name: "unknown"}).matches(RECEIPT)


@given(histories(3).filter(bool), queries(3))
def test_what_matches_shows_all_traces_in_its_encoded_entries(history: list[Written], wanted: ReceiptFilter) -> None:
    for record in history:
        if wanted.matches(fold([decode_entry(payload) for payload in record.payloads])):
            assert all(any(trace in payload for payload in record.payloads) for trace in wanted.traces())


def test_receipts_that_were_not_decoded_count_and_end_a_page_by_their_time() -> None:
    log = receipt_log(5)
    seen = [Unlike(record[0].receipt_id, record[0].at) if place % 2 else record for place, record in enumerate(log)]
    assert [summary.receipt_id for summary in page(seen, ReceiptFilter()).data] == [
        log[at][0].receipt_id for at in (0, 2, 4)
    ]
    late = ReceiptFilter.parse({"created_at_min": str(int(AT + 10_000))})
    assert page([seen[1]], late) == page([], late)


def test_filters_are_and_combined() -> None:
    assert not ReceiptFilter.parse({"session_id": "s1", "run_id": "r2"}).matches(RECEIPT)


@pytest.mark.parametrize("parameters", [{}, {"session_id": "  "}, {"limit": ""}, {"cursor": ""}, {"colour": "red"}])
def test_blank_and_unknown_parameters_filter_nothing(parameters: dict[str, str]) -> None:
    assert ReceiptFilter.parse(parameters) == ReceiptFilter()


@pytest.mark.parametrize("name", ["created_at_min", "created_at_max"])
@pytest.mark.parametrize("text", ["yesterday", "1.5", "nan"])
def test_a_time_that_is_no_number_of_seconds_finds_nothing(name: str, text: str) -> None:
    assert not ReceiptFilter.parse({name: text}).matches(RECEIPT)


def test_an_open_receipt_has_no_status_to_match() -> None:
    open_receipt = fold(entries([opened()]))
    assert not ReceiptFilter.parse({"status": "completed"}).matches(open_receipt)
    assert ReceiptFilter.parse({}).matches(open_receipt)
    assert ReceiptFilter.parse({"status": "open"}).matches(open_receipt)
    assert not ReceiptFilter.parse({"status": "open"}).matches(RECEIPT)


@pytest.mark.parametrize("limit", ["1", "500", " 7 "])
def test_a_possible_limit_is_taken(limit: str) -> None:
    assert ReceiptFilter.parse({"limit": limit}).limit == int(limit)


@pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", "1.5", "1_0", "\N{ARABIC-INDIC DIGIT FIVE}", "9" * 5000])
def test_an_impossible_limit_is_refused_by_name(limit: str) -> None:
    with pytest.raises(RequestError, match="limit: expected a whole number from 1 to 500") as refused:
        ReceiptFilter.parse({"limit": limit})
    assert (refused.value.param, refused.value.code) == ("limit", "invalid_request")


@pytest.mark.parametrize("text", ["rcpt_1", "!!!", "MTo", cursor("x")[:-2], cursor("x") + "é", cursor("a\nb"), "a" * 5])
def test_a_cursor_that_was_never_given_is_refused_by_name(text: str) -> None:
    with pytest.raises(RequestError, match="cursor") as refused:
        ReceiptFilter.parse({"cursor": text})
    assert refused.value.param == "cursor"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_a_cursor_gives_back_its_receipt_id(receipt_id: str) -> None:
    assert ReceiptFilter.parse({"cursor": cursor(receipt_id)}).before == receipt_id


@given(count=st.integers(0, 12), limit=st.integers(1, 6), tenant=st.sampled_from([None, "t", "nobody"]))
def test_following_the_cursors_shows_every_match_once_in_order(count: int, limit: int, tenant: str | None) -> None:
    log = receipt_log(count)
    parameters = {"limit": str(limit)} | ({"tenant_id": tenant} if tenant else {})
    shown: list[str] = []
    sizes: list[int] = []
    next_cursor: str | None = ""
    while next_cursor is not None:
        wanted = ReceiptFilter.parse(parameters | {"cursor": next_cursor})
        answer = page(below(log, wanted.before), wanted)
        shown += [summary.receipt_id for summary in answer.data]
        sizes.append(len(answer.data))
        next_cursor = answer.next_cursor
    matching = [fold(record) for record in log]
    assert shown == [r.receipt_id for r in matching if ReceiptFilter.parse(parameters).matches(r)]
    assert all(size == limit for size in sizes[:-1])
    assert sizes[-1] > 0 or len(sizes) == 1


def test_the_limit_never_exceeds_what_a_page_may_hold() -> None:
    log = receipt_log(MAX_LIMIT + 1)
    answer = page(log, ReceiptFilter.parse({"limit": str(MAX_LIMIT)}))
    assert len(answer.data) == MAX_LIMIT
    assert answer.next_cursor == cursor("rcpt_00001")


def test_a_page_that_finds_nothing_stops_after_a_bounded_search_and_can_be_continued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query, "MAX_SCANNED", 4)
    answer = page(receipt_log(10), ReceiptFilter.parse({"tenant_id": "nobody"}))
    assert answer.data == ()
    assert answer.next_cursor == cursor("rcpt_00006")


def test_a_page_reads_no_further_than_to_the_next_match() -> None:
    log = iter(receipt_log(10))
    page(log, ReceiptFilter.parse({"limit": "2"}))
    assert next(log)[0].receipt_id == "rcpt_00006"


def test_a_page_ends_where_everything_that_follows_is_older_than_asked_for() -> None:
    log = iter(receipt_log(query.CLOCK_SLACK_S + 20))
    newest = int(AT) + query.CLOCK_SLACK_S + 19
    answer = page(log, ReceiptFilter.parse({"created_at_min": str(newest - 2)}))
    assert [summary.created_at for summary in answer.data] == [newest, newest - 1, newest - 2]
    assert answer.next_cursor is None
    assert len(list(log)) == 16, "but for a clock that may have been set back in between, nothing older is read"
