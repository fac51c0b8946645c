"""Redaction: what is found, what is left alone, and that nothing planted is left in what is stored, however it was spelled or cut."""

from collections import Counter

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.effort import times_as_long
from wardwright.domain.policy import RedactionRule
from wardwright.policy.patterns import PatternError
from wardwright.policy.redacted_json import redacted_value
from wardwright.policy.redaction import Redactor
from wardwright.policy.secrets_in_text import names_a_secret

KEY = "sk-proj-abcdefghijklmnop0123"
PLAIN = Redactor()
OWN = Redactor([RedactionRule(id="staff", regex=r"EMP-\d{6}"), RedactionRule(id="project", contains="Blue Heron")])

# a secret that must go wherever it stands, and what takes its place
SECRETS = {
    KEY: "api_key",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": "api_key",
    "AKIAIOSFODNN7EXAMPLE": "api_key",
    "xoxb-123456789012-abcdefghijkl": "api_key",
    "wwk_abcdefghijklmnopqrstuvwxyz": "api_key",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123-_x": "token",
    "jane.o'neil+x@mail.example.co.uk": "email",
    "jörg@bücher.example": "email",
    "4111 1111 1111 1111": "card",
    "5500-0000-0000-0004": "card",
    "378282246310005": "card",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1": "card",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----": "private_key",
    "A" * 600: "encoded",
}


@pytest.mark.parametrize(("secret", "label"), SECRETS.items())
def test_known_secrets_go_and_what_is_around_them_stays(secret: str, label: str) -> None:
    counts: Counter[str] = Counter()
    assert PLAIN.redacted(f"before: {secret}, behind", counts) == f"before: [redacted:{label}], behind"
    assert counts == {label: 1}


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("password: hunter22, and more", "password: [redacted:secret], and more"),
        ('{"api_key": "two words"}', '{"api_key": "[redacted:secret]"}'),
        ("OPENAI_API_KEY=abcdef", "OPENAI_API_KEY=[redacted:secret]"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: [redacted:secret]"),
        ("say Bearer abcdefghijklmnopqrst", "say Bearer [redacted:token]"),
        ("postgres://app:s3cret@db/x", "postgres://app:[redacted:secret]@db/x"),
        (f"a -----BEGIN PRIVATE KEY----- {'x' * 50}", "a [redacted:private_key]"),
    ],
)
def test_what_is_named_a_secret_goes_and_its_name_stays(text: str, redacted: str) -> None:
    assert PLAIN.redacted(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "The keyboard is broken, the monkey is fine.",
        '{"max_tokens": 4096, "keys": ["a"]}',
        "4111 1111 1111 1112",  # no card: the check digit is another
        "1764374400123 and 1764374400124",  # times
        "uses: actions/checkout@v4.1.0",
        "@someone at host",
        "sk-short",
        "a bearer of news",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2 3 4 5 6",  # a row of numbers
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert PLAIN.redacted(text) == text


def test_rules_of_ones_own() -> None:
    assert OWN.redacted("EMP-123456 of Blue Heron wrote to a@b.example") == (
        "[redacted:staff] of [redacted:project] wrote to [redacted:email]"
    )
    with pytest.raises(PatternError):
        Redactor([RedactionRule(id="nothing")])
    with pytest.raises(PatternError):
        Redactor([RedactionRule(id="everywhere", regex="x*")])


def test_what_a_marker_uncovers_is_found_too() -> None:
    glued = Redactor([RedactionRule(id="own", contains="xyz")])
    assert glued.redacted(f"xyz{KEY}") == "[redacted:own][redacted:api_key]"


@pytest.mark.parametrize("length", [511, 512, 513, 1023, 1024, 3000])
@pytest.mark.parametrize("before", [0, 1, 400, 511, 512, 700])
def test_a_long_run_is_found_wherever_it_stands_and_whole(length: int, before: int) -> None:
    text = ". " * before + "Ab9+/-_x" * (length // 8) + "Z" * (length % 8) + "= ."
    found = PLAIN.redacted(text)
    assert found == (text if length < 512 else ". " * before + "[redacted:encoded] .")


def test_a_secret_that_goes_over_from_one_piece_into_the_next_is_one() -> None:
    assert PLAIN.redacted_pieces(["my key is sk-proj-abc", "defghij", "klmnop0123 there"]) == [
        "my key is [redacted:api_key]",
        "",
        " there",
    ]
    # put together it would be part of a longer word, and by itself it is not
    assert PLAIN.redacted_pieces(["word", KEY]) == ["word", "[redacted:api_key]"]


def test_a_name_tells_a_secret() -> None:
    assert all(map(names_a_secret, ("password", "DB_PASSWORD", "apiKey", "api-key", "aws_access_key_id", "Cookie")))
    assert not any(map(names_a_secret, ("max_tokens", "monkey", "key", "keys", "tokenizer", "content", "id", "")))


SURROUNDINGS = st.text(st.sampled_from(" ,.;:\n\"'{}[]()äß€x0@-_=/\\"), max_size=12)
SPOTS = st.sampled_from(sorted(set(SECRETS) - {"A" * 600}))


@given(SURROUNDINGS, SPOTS, SURROUNDINGS, SPOTS, SURROUNDINGS)
@example("", KEY, "@", "jörg@bücher.example", "")
def test_nothing_planted_is_left_and_redacting_again_changes_nothing(
    before: str, first: str, between: str, second: str, behind: str
) -> None:
    text = f"{before} {first} {between} {second} {behind}"
    once = OWN.redacted(text)
    assert first not in once
    assert second not in once
    assert OWN.redacted(once) == once
    value = redacted_value(
        OWN, {"messages": [{"content": text, "args": msgspec.json.encode({"q": text}).decode()}]}
    ).value
    stored = msgspec.json.encode(value).decode()
    assert first not in stored
    assert second not in stored
    assert redacted_value(OWN, value).value == value


@given(SPOTS, st.data())
def test_however_a_text_is_cut_into_parts_it_is_read_as_one(secret: str, data: st.DataObject) -> None:
    text = f"it is {secret} here"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    parts = [{"type": "text", "text": piece} for piece in pieces]
    value = redacted_value(PLAIN, {"content": parts}).value
    assert secret not in "".join(part["text"] for part in value["content"])


class TestJson:
    def test_structure_stays_and_texts_names_and_long_numbers_are_redacted(self) -> None:
        value = {"a@b.example": 1, "note": ["fine", KEY, None, True, 1.5], "card": 4111111111111111, "deep": {"k": KEY}}
        redacted = redacted_value(PLAIN, value)
        assert redacted.value == {
            "[redacted:email]": 1,
            "note": ["fine", "[redacted:api_key]", None, True, 1.5],
            "card": "[redacted:card]",
            "deep": {"k": "[redacted:api_key]"},
        }
        assert redacted.counts == {"email": 1, "api_key": 2, "card": 1}
        assert redacted.cut_bytes == 0

    def test_what_stands_under_a_secrets_name_goes_whatever_it_is(self) -> None:
        value = {"password": "x", "token": 7, "secret": ["y", {"name": "z"}], "api_key": None, "cookie": ""}
        assert redacted_value(PLAIN, value).value == {
            "password": "[redacted:secret]",
            "token": "[redacted:secret]",
            "secret": ["[redacted:secret]", {"name": "z"}],
            "api_key": None,
            "cookie": "",
        }

    def test_names_that_become_the_same_are_all_kept(self) -> None:
        assert redacted_value(PLAIN, {"a@b.example": 1, "c@d.example": 2}).value == {
            "[redacted:email]": 1,
            "[redacted:email]+": 2,
        }

    def test_arguments_are_read_as_what_they_mean(self) -> None:
        spelled = '{"to":"bob\\u0040example.com","password":"two words","n":1}'
        assert redacted_value(PLAIN, {"arguments": spelled}).value == {
            "arguments": '{"to":"[redacted:email]","password":"[redacted:secret]","n":1}'
        }

    def test_of_a_table_each_name_is_read_once_and_every_secret_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read = Counter[str]()
        original = Redactor.redacted

        def reading(redactor: Redactor, text: str, counts: Counter[str] | None = None) -> str:
            read[text] += 1
            return original(redactor, text, counts)

        monkeypatch.setattr(Redactor, "redacted", reading)
        rows = [{"name": f"n{number}", "a@example.org": f"b{number}@example.org"} for number in range(50)]
        redacted = redacted_value(Redactor(), rows)
        assert redacted.value == [
            {"name": f"n{number}", "[redacted:email]": "[redacted:email]"} for number in range(50)
        ]
        assert redacted.counts == {"email": 100}
        assert read["name"] == 1

    def test_of_a_name_that_is_there_twice_both_values_are_read(self) -> None:
        spelled = '{"to":"bob\\u0040example.com","to":"x"}'
        assert redacted_value(PLAIN, spelled).value == '{"to":"[redacted:email]","to":"x"}'

    def test_what_holds_no_secret_is_kept_to_the_character(self) -> None:
        text = '{ "a" : [1,  2.50] }'
        assert redacted_value(PLAIN, text).value == text

    def test_a_value_is_cut_where_it_is_too_long_and_says_by_how_much(self) -> None:
        redacted = redacted_value(PLAIN, ["word " * 10, "more"], largest=20)
        assert redacted.value == ["word word wo"]
        assert redacted.cut_bytes == 50 - 12 + 4

    def test_no_cut_goes_through_a_secret(self) -> None:
        for largest in range(10, 60):
            stored = redacted_value(PLAIN, [f"say bob@example.com and {KEY}"], largest=largest).value[0]
            assert "bob" not in stored
            assert "sk-" not in stored

    def test_nesting_has_an_end(self) -> None:
        deep: object = KEY
        for _ in range(200):
            deep = [deep]
        assert b"[redacted:too_deep]" in msgspec.json.encode(redacted_value(PLAIN, deep).value)
        inner = "[" * 5000 + '"x"' + "]" * 5000
        assert redacted_value(PLAIN, inner).value == inner


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a@",
        "@a.",
        "eyJ",
        "1 ",
        "4 ",
        "password ",
        "-----BEGIN PRIVATE KEY-----",
        "://a:",
        "bearer ",
        "SG.",
        "4111111111111111 ",
    ],
)
def test_no_text_is_slow(unit: str) -> None:
    small, large = (unit * (size // len(unit)) for size in (4_096, 65_536))
    longer = times_as_long(lambda: PLAIN.redacted(large), lambda: PLAIN.redacted(small), attempts=3)
    assert longer < 64, "sixteen times the text, and far more than sixteen times the work"
