import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import RequestError
from wardwright.wire.caller import parse_caller
from wardwright.wire.openai_request import parse_chat_request


def request(**fields: object) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse_chat_request(msgspec.json.encode(body))


def stating(field: str, fact: Attributed) -> Caller:
    return msgspec.convert({field: msgspec.to_builtins(fact)}, Caller)


HEADERS = {
    "tenant_id": "x-wardwright-tenant-id",
    "application_id": "x-wardwright-application-id",
    "consuming_agent_id": "x-wardwright-agent-id",
    "consuming_user_id": "x-wardwright-user-id",
    "session_id": "x-wardwright-session-id",
    "run_id": "x-wardwright-run-id",
    "client_request_id": "x-client-request-id",
}


@pytest.mark.parametrize(("field", "header"), HEADERS.items())
def test_a_header_beats_metadata(field: str, header: str) -> None:
    caller = parse_caller({header: " from header "}, request(metadata={field: "from body"}), None)
    assert caller == stating(field, Attributed("from header", "header"))


@pytest.mark.parametrize(
    ("key", "field"),
    [*((field, field) for field in HEADERS), ("agent_id", "consuming_agent_id"), ("user_id", "consuming_user_id")],
)
def test_metadata_speaks_where_the_header_is_silent_or_blank(key: str, field: str) -> None:
    caller = parse_caller({HEADERS[field]: "  "}, request(metadata={key: " x "}), None)
    assert caller == stating(field, Attributed("x", "body_metadata"))


def test_the_longer_metadata_key_beats_the_shorter() -> None:
    metadata = {"agent_id": "short", "consuming_agent_id": "long"}
    assert parse_caller({}, request(metadata=metadata), None).consuming_agent_id == Attributed("long", "body_metadata")
    metadata = {"agent_id": "short", "consuming_agent_id": " "}
    assert parse_caller({}, request(metadata=metadata), None).consuming_agent_id == Attributed("short", "body_metadata")


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (-1.5, "-1.5"), (True, "true"), (False, "false"), (10**30, "1" + "0" * 30)]
)
def test_numbers_and_booleans_become_strings(value: object, text: str) -> None:
    caller = parse_caller({}, request(metadata={"tenant_id": value}), None)
    assert caller.tenant_id == Attributed(text, "body_metadata")


@pytest.mark.parametrize("value", [None, [], ["a"], {"a": 1}, "", "  "])
def test_other_metadata_values_state_nothing(value: object) -> None:
    assert parse_caller({}, request(metadata={"tenant_id": value}), None) == Caller()


@pytest.mark.parametrize("metadata", ["text", 3, ["tenant_id"], None, True])
def test_metadata_that_is_no_object_is_empty_and_headers_still_work(metadata: object) -> None:
    caller = parse_caller({"x-wardwright-run-id": "r"}, request(metadata=metadata), None)
    assert caller == Caller(run_id=Attributed("r", "header"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user": "u"}, "u"),
        ({"safety_identifier": "s"}, "s"),
        ({"user": "u", "safety_identifier": "s"}, "u"),
        ({"user": " ", "safety_identifier": "s"}, "s"),
        ({"user": "u", "metadata": {"user_id": "m"}}, "m"),
    ],
)
def test_openais_own_user_fields_are_the_last_resort(fields: dict[str, object], expected: str) -> None:
    caller = parse_caller({}, request(**fields), None)
    assert caller.consuming_user_id == Attributed(expected, "body_metadata")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["b", " a ", "", " "], ("a", "b")),
        ("b, a,,", ("a", "b")),
        ([2, True, None, {}], ("2", "true")),
        (None, ()),
        (5, ()),
        ({"a": 1}, ()),
    ],
)
def test_tags_are_a_list_or_a_comma_separated_string(tags: object, expected: tuple[str, ...]) -> None:
    assert parse_caller({}, request(metadata={"tags": tags}), None).tags == expected


@pytest.mark.parametrize("value", ["a\nb", "a\x00", "\x7fa b", "a\x85b"])
def test_control_characters_are_refused_by_name(value: str) -> None:
    value = f"x{value}x"
    with pytest.raises(RequestError, match="control characters") as caught:
        parse_caller({"x-wardwright-session-id": value}, request(), None)
    assert caught.value.param == "x-wardwright-session-id"


def test_half_a_surrogate_in_a_header_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        parse_caller({"x-wardwright-tenant-id": "a\udc80"}, request(), None)
    assert caught.value.param == "x-wardwright-tenant-id"


@pytest.mark.parametrize("value", ["x" * 257, "é" * 129])
@pytest.mark.parametrize(
    ("place", "param"),
    [
        ("header", "x-wardwright-tenant-id"),
        ("metadata", "metadata.tenant_id"),
        ("tags", "metadata.tags"),
        ("user", "user"),
        ("safety_identifier", "safety_identifier"),
    ],
)
def test_values_over_256_bytes_are_refused_by_name(value: str, place: str, param: str) -> None:
    fields: dict[str, dict[str, object]] = {
        "header": {},
        "metadata": {"metadata": {"tenant_id": value}},
        "tags": {"metadata": {"tags": [value]}},
        "user": {"user": value},
        "safety_identifier": {"safety_identifier": value},
    }
    headers = {param: value} if place == "header" else {}
    with pytest.raises(RequestError, match=f"at most 256 bytes, got {len(value.encode())}") as caught:
        parse_caller(headers, request(**fields[place]), None)
    assert caught.value.param == param


@pytest.mark.parametrize("value", ["x" * 256, "é" * 128, "  " + "x" * 256 + "  "])
def test_256_bytes_are_kept_whole(value: str) -> None:
    caller = parse_caller({"x-wardwright-tenant-id": value}, request(), None)
    assert caller.tenant_id == Attributed(value.strip(), "header")


def test_a_wrongly_typed_safety_identifier_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        parse_caller({}, request(safety_identifier=3), None)
    assert caught.value.param == "safety_identifier"


def test_without_a_session_the_peer_gets_a_stable_name_that_is_not_its_address() -> None:
    first = parse_caller({}, request(), "192.0.2.7").anonymous_id
    assert first is not None
    assert first.source == "derived_anonymous"
    assert "192.0.2.7" not in first.value
    assert parse_caller({}, request(), "192.0.2.7").anonymous_id == first
    assert parse_caller({}, request(), "192.0.2.8").anonymous_id != first


def test_a_session_needs_no_derived_name() -> None:
    assert parse_caller({"x-wardwright-session-id": "s"}, request(), "192.0.2.7").anonymous_id is None
    assert parse_caller({}, request(), None).anonymous_id is None


@given(
    headers=st.dictionaries(st.sampled_from(list(HEADERS.values())), st.text()),
    metadata=st.dictionaries(
        st.sampled_from([*HEADERS, "tags", "agent_id", "user_id"]),
        st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.text()) | st.none(),
    ),
)
def test_anything_is_read_or_refused(headers: dict[str, str], metadata: dict[str, object]) -> None:
    asked = request()
    asked = msgspec.structs.replace(asked, metadata=metadata)
    try:
        caller = parse_caller(headers, asked, "peer")
    except RequestError:
        return
    for fact in msgspec.structs.asdict(caller).values():
        if isinstance(fact, Attributed):
            assert 0 < len(fact.value.encode()) <= 256
            assert fact.value == fact.value.strip()
