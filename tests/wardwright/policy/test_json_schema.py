"""JSON Schemas of strangers: what they accept and reject, and everything that one could do harm with."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from wardwright.policy.json_schema import (
    DEEPEST,
    LONGEST_SCHEMA,
    CompiledSchema,
    SchemaCache,
    SchemaFault,
    Unreadable,
    compile_schema,
    read_json,
)

ANSWER = {
    "type": "object",
    "required": ["answer", "confidence"],
    "properties": {"answer": {"type": "string", "minLength": 3}, "confidence": {"type": "number", "maximum": 1}},
    "additionalProperties": False,
}
TREE = {"type": "object", "properties": {"value": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["value"]}


def schema(wanted: Any) -> CompiledSchema:
    return CompiledSchema(json.dumps(wanted))


def fault(wanted: Any) -> str:
    with pytest.raises(SchemaFault) as caught:
        schema(wanted)
    return str(caught.value)


def doubling(levels: int, link: str) -> dict[str, Any]:
    """A schema in which each level refers to the one below it twice."""
    levels_of: dict[str, Any] = {"l0": {"type": "integer"}}
    for level in range(1, levels + 1):
        below = {"$ref": f"#/$defs/l{level - 1}"}
        levels_of[f"l{level}"] = (
            {"allOf": [below, below]}
            if link == "allOf"
            else {"properties": {"x": below}, "patternProperties": {"x": below}}
        )
    return {"$defs": levels_of, "$ref": f"#/$defs/l{levels}"}


def test_what_is_accepted_has_no_faults() -> None:
    assert schema(ANSWER).faults({"answer": "yes", "confidence": 1}) is None


def test_faults_are_told_by_place_and_without_any_text_of_the_answer() -> None:
    faults = schema(ANSWER).faults({"answer": "SECRET"[:2], "confidence": "SECRET"})
    assert faults is not None
    assert sorted(faults) == [
        "/answer: the value is shorter than 3 characters",
        '/confidence: the value is not of type "number"',
    ]


def test_no_more_than_a_few_faults_are_told() -> None:
    faults = schema({"items": {"type": "integer"}}).faults(["a"] * 1000)
    assert faults is not None
    assert len(faults) == 5


def test_a_schema_may_refer_to_itself() -> None:
    compiled = schema(TREE)
    assert compiled.faults({"value": 1, "next": {"value": 2, "next": {"value": 3}}}) is None
    assert compiled.faults({"value": 1, "next": {"next": {}}}) == (
        '/next: "value" is a required property',
        '/next/next: "value" is a required property',
    )


@pytest.mark.parametrize("link", ["#/$defs/a", "#name", "#/properties/b"])
def test_references_lead_to_places_within(link: str) -> None:
    wanted = {
        "$defs": {"a": {"$anchor": "name", "type": "integer"}},
        "properties": {"b": {"type": "integer"}, "c": {"$ref": link}},
    }
    assert schema(wanted).faults({"c": 1}) is None
    assert schema(wanted).faults({"c": "1"}) is not None


def test_equal_schemas_are_compiled_once() -> None:
    assert compile_schema('{"type":"null"}') is compile_schema('{"type":"null"}')


def test_no_more_schemas_are_kept_than_there_is_room_for() -> None:
    cache = SchemaCache(10)
    first, second = cache.get("true"), cache.get("false")
    assert cache.get("true") is first
    assert cache.get(" true") is cache.get(" true"), "the one asked for longest ago has made room"
    assert cache.get("true") is first
    assert cache.get("false") is not second
    cache.get("                true")
    assert cache.get("false") is not cache.get("                true")


def test_a_faulty_schema_takes_no_room() -> None:
    cache = SchemaCache(4)
    kept = cache.get("true")
    with pytest.raises(SchemaFault):
        cache.get("nonsense")
    assert cache.get("true") is kept


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            ({"type": "nope"}, "is valid in draft 2020-12; /type: "),
            ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum: it is not of type"),
            ({"items": [{"type": "string"}]}, "/items: it is not of type"),
            ([], "is valid in draft 2020-12"),
            ({"$ref": "http://127.0.0.1:1/schema"}, "refers to nothing outside of itself"),
            ({"properties": {"a": {"$ref": "file:///etc/hostname"}}}, "refers to nothing outside of itself"),
            ({"$ref": "#/$defs/a"}, "there is nothing at '#/$defs/a'"),
            ({"$ref": "#a"}, "there is nothing at '#a'"),
            ({"$dynamicRef": "#a"}, "has no $dynamicRef"),
            ({"properties": {"a": {"$id": "http://x/y"}}}, "has no $id but its own"),
            ({"pattern": r"(a)\1"}, "match in linear time"),
            ({"patternProperties": {"(?=a)": {}}}, "match in linear time"),
            ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, "unlike /properties/a/pattern"),
            ({"$ref": "#"}, "in a circle that never goes into the value"),
            ({"allOf": [{"anyOf": [{"$ref": "#"}]}]}, "in a circle that never goes into the value"),
            (doubling(14, "allOf"), "is smaller"),
            (doubling(30, "properties"), "is smaller"),
            ({"description": "x" * LONGEST_SCHEMA}, f"is at most {LONGEST_SCHEMA} characters"),
        ],
    )
    def test_with_words_for_whoever_wrote_it(self, wanted: Any, words: str) -> None:
        assert words in fault(wanted)

    def test_references_that_lead_on_and_on_for_one_value(self) -> None:
        chain = {f"l{n}": {"$ref": f"#/$defs/l{n - 1}"} for n in range(1, 1500)} | {"l0": {}}
        assert "steps" in fault({"$defs": chain, "$ref": "#/$defs/l80"})
        assert fault({"$defs": chain, "$ref": "#/$defs/l1499"})

    @pytest.mark.parametrize("opening", ['{"items":', '{"allOf":[', "["])
    def test_schemas_nested_without_end(self, opening: str) -> None:
        with pytest.raises(SchemaFault):
            CompiledSchema(opening * 5000)
        nested: Any = {}
        for _ in range(400):
            nested = {"items": nested}
        assert fault(nested)


class TestWhatWouldTakeForever:
    """None of these ends in a lifetime if it is done naively."""

    def test_a_pattern_that_backtracking_would_never_finish(self) -> None:
        assert schema({"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}).faults("a" * 100_000) is not None

    @pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
    def test_a_tree_of_choices_that_all_lead_on(self, keyword: str) -> None:
        below = {"$ref": "#/$defs/a"}
        both = [{"type": "object", "properties": {"x": below}}, {"minProperties": 1, "properties": {"x": below}}]
        compiled = schema({"$defs": {"a": {keyword: both}}, **below})
        value: Any = {"x": 1}
        for _ in range(100):
            value = {"x": value}
        assert compiled.faults(value) in (None, ("does not match the schema",))

    def test_a_schema_that_leads_back_twice_explains_what_is_not_nested_deeply(self) -> None:
        below = {"$ref": "#"}
        compiled = schema(
            {
                "anyOf": [
                    {"type": "integer"},
                    {"type": "array", "items": below},
                    {"type": "object", "additionalProperties": below},
                ]
            }
        )
        assert compiled.faults([1, {"a": [2]}]) is None
        told = compiled.faults(["a"], 2)
        assert told is not None
        assert "anyOf" in told[0]
        deep: Any = "a"
        for _ in range(100):
            deep = [deep]
        assert compiled.faults(deep, 101) == ("does not match the schema",)

    def test_faults_without_number_are_not_told_one_by_one(self) -> None:
        compiled = schema({"items": {"anyOf": [{"minimum": 10 + number} for number in range(1000)]}})
        document = read_json(json.dumps([1] * 5_000), compiled.checks)
        assert compiled.faults(*document) == ("does not match the schema",)
        assert compiled.faults([1]) == (
            "/0: the value is not valid under any of the schemas listed in the 'anyOf' keyword",
        )

    def test_without_choices_the_first_fault_is_told_all_the_same(self) -> None:
        compiled = schema({"items": {"type": "string"}})
        document = read_json(json.dumps(["a"] * 50_000 + [1] * 50_000), compiled.checks)
        assert compiled.faults(*document) == ('/50000: the value is not of type "string"',)

    def test_an_answer_that_is_nested_too_deeply_is_not_looked_at(self) -> None:
        assert read_json("[" * DEEPEST + "]" * DEEPEST, 1)
        with pytest.raises(Unreadable, match="nested deeper"):
            read_json("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), 1)
        with pytest.raises(Unreadable, match="nested deeper"):
            read_json("[" * 1_000_000, 1)

    def test_brackets_in_strings_are_no_nesting(self) -> None:
        assert read_json(json.dumps(["[{" * 500, '\\"[' * 500]), 1)

    def test_a_large_answer_under_a_large_schema_is_not_looked_at(self) -> None:
        text = json.dumps([1] * 90_000)
        assert len(read_json(text, 100).value) == 90_000
        assert read_json(text, 100).values == 90_001
        with pytest.raises(Unreadable, match="more values"):
            read_json(text, 10_000)


class PanicException(BaseException):
    """What a panic of Rust is to Python."""


def test_a_panic_of_the_validator_ends_nothing_but_the_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panicking:
        def __init__(self, *_: object, **__: object) -> None:
            if "panic" in str(_):
                raise PanicException

        def is_valid(self, _: object) -> bool:
            raise PanicException

    monkeypatch.setattr("jsonschema_rs.Draft202012Validator", Panicking)
    assert schema({}).faults(1) == ("cannot be validated",)
    assert fault({"title": "panic"}) == "the validator can follow; on this one it fails"


@pytest.mark.parametrize("text", ["", "{", "nonsense", '{"a": 1} and more', "```json\n{}\n```", "NaN", "\ud800"])
def test_what_is_no_json_is_not_read(text: str) -> None:
    with pytest.raises(Unreadable, match="no valid JSON"):
        read_json(text, 1)


KEYWORDS = [
    *(
        "type",
        "properties",
        "items",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "$ref",
        "$defs",
        "pattern",
    ),
    *("patternProperties", "additionalProperties", "enum", "const", "minimum", "maxLength", "required", "prefixItems"),
    *(
        "contains",
        "uniqueItems",
        "dependentSchemas",
        "propertyNames",
        "unevaluatedProperties",
        "minContains",
        "$anchor",
    ),
]
scalars = st.sampled_from(
    ["string", "integer", "object", "#", "#/$defs/a", "^a+$", "a", 0, 1, -1, 2.5, True, False, None]
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYWORDS, "a", "b"]), inner, max_size=4)
    ),
    max_leaves=12,
)
values = st.recursive(
    scalars, lambda i: st.lists(i, max_size=3) | st.dictionaries(st.sampled_from("ab"), i, max_size=3), max_leaves=8
)


@settings(max_examples=300, deadline=None)
@given(wanted=st.dictionaries(st.sampled_from(KEYWORDS), anything, max_size=4), value=values)
def test_any_schema_is_refused_or_means_what_it_means_elsewhere(wanted: dict[str, Any], value: Any) -> None:
    try:
        compiled = CompiledSchema(msgspec.json.encode(wanted).decode())
    except SchemaFault:
        return
    assert (compiled.faults(value) is None) == Draft202012Validator(wanted).is_valid(value)
