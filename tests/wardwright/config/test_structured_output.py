"""The form of answers in a configuration: what may be said, every way to say it wrong, and what the loader promises of it."""

from pathlib import Path

import msgspec
import pytest

from tests.wardwright.config.test_checks import MODEL, PROVIDER, TARGET, problems
from wardwright.config.artifact import concise, decode_artifact, define, encode_artifact, read_artifact
from wardwright.config.load import Loaded, load_config
from wardwright.config.problems import ConfigError
from wardwright.config.structured_output import output_guarantee
from wardwright.domain.structured import (
    USUAL_OUTPUT,
    GuardLoop,
    NumberRule,
    OutputSchema,
    StructuredOutput,
    TextRule,
)

BASE = PROVIDER + TARGET + MODEL
AT = "models.m.structured_output"
SCHEMA = '[models.structured_output.schemas.answer]\ntype = "object"\nrequired = ["a"]\n'
RULE = '[[models.structured_output.semantic_rules]]\nid = "r"\n'
NUMBER = RULE + 'kind = "json_path_number"\npath = "/a"\ngte = 1\n'
TEXT = RULE.replace('"r"', '"s"') + 'kind = "json_path_string_not_contains"\npath = "/b"\npattern = "x"\n'
LOOP = "[models.structured_output.guard_loop]\n"


def load(folder: Path, text: str) -> Loaded:
    path = folder / "wardwright.toml"
    path.write_text(text)
    return load_config(path, {})


def test_it_becomes_part_of_the_definition_and_of_its_version(tmp_path: Path) -> None:
    loop = LOOP + 'max_attempts = 4\non_violation = "retry"\n'
    (definition,) = load(tmp_path, BASE + SCHEMA + NUMBER + TEXT + loop).definitions
    assert definition.structured_output == StructuredOutput(
        schemas=(OutputSchema("answer", '{"required":["a"],"type":"object"}'),),
        semantic_rules=(NumberRule(id="r", path="/a", gte=1), TextRule(id="s", path="/b", pattern="x")),
        guard_loop=GuardLoop(4, 4, "retry"),
    )
    (other,) = load(tmp_path, BASE + SCHEMA + NUMBER).definitions
    assert other.version != definition.version


def test_saying_nothing_changes_no_version(tmp_path: Path) -> None:
    definitions = [
        load(tmp_path, BASE + text).definitions for text in ("", 'structured_output = { response_format = "strict" }\n')
    ]
    assert definitions[0] == definitions[1]
    assert definitions[0][0].structured_output is USUAL_OUTPUT
    assert b"structured_output" not in msgspec.json.encode(definitions[0][0])


def test_schemas_are_kept_in_their_order_and_keys_in_none(tmp_path: Path) -> None:
    text = SCHEMA.replace("answer", "z") + '[models.structured_output.schemas.b]\nrequired = ["a"]\ntype = "object"\n'
    (definition,) = load(tmp_path, BASE + text).definitions
    schemas = definition.structured_output.schemas
    assert [schema.id for schema in schemas] == ["z", "b"]
    assert schemas[0].schema == schemas[1].schema


def test_it_is_kept_with_a_stored_version(tmp_path: Path) -> None:
    loaded = load(tmp_path, BASE + SCHEMA + NUMBER)
    defined = define(loaded.settings.models[0], loaded.settings.targets)
    assert decode_artifact(encode_artifact(defined.artifact)) == defined
    again = read_artifact(
        concise(defined.artifact), targets=loaded.settings.targets, providers=loaded.settings.providers
    )
    assert again.definition == defined.definition


def test_a_stored_schema_that_cannot_be_enforced_any_more_is_told(tmp_path: Path) -> None:
    loaded = load(tmp_path, BASE + SCHEMA)
    raw = bytes(encode_artifact(define(loaded.settings.models[0], loaded.settings.targets).artifact))
    with pytest.raises(ConfigError, match=r"structured_output\.schemas\.answer: expected a JSON Schema that"):
        decode_artifact(raw.replace(b'"type":"object"', b'"type":"strange"'))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[models.structured_output.schemas.a]\ntype = "nope"\n',
            (
                f"{AT}.schemas.a: expected a JSON Schema that is valid in draft 2020-12; /type: it is not valid under any of "
                "the schemas listed in the 'anyOf' keyword"
            ),
        ),
        (
            '[models.structured_output.schemas.a]\n"$ref" = "https://example.com/x"\n',
            (
                f"{AT}.schemas.a: expected a JSON Schema that refers to nothing outside of itself, as 'https://example.com/x' "
                "does"
            ),
        ),
        (
            SCHEMA + NUMBER.replace("gte = 1", f"gte = {10**400}"),
            f"{AT}.semantic_rules.r.gte: expected a number, got a number beyond 64 bits",
        ),
        (
            "structured_output = { schemas = {} }\n",
            f"{AT}.schemas: expected a table of at least one JSON Schema (draft 2020-12), each under its name, got a table",
        ),
        ('structured_output = { schemas = { a = "{}" } }\n', f'{AT}.schemas.a: expected a table, got "{{}}"'),
        (NUMBER, f"{AT}.schemas: expected at least one schema, which semantic rules add to, got nothing"),
        (
            SCHEMA + NUMBER.replace("gte = 1\n", ""),
            f"{AT}.semantic_rules.r.gte: expected at least one of gte, gt, lte, lt, got nothing",
        ),
        (
            SCHEMA + NUMBER.replace('"/a"', '"a"'),
            f'{AT}.semantic_rules.r.path: expected a JSON pointer such as "/confidence", got "a"',
        ),
        (
            SCHEMA + NUMBER + NUMBER,
            f'{AT}.semantic_rules[1].id: expected an id of its own, but another semantic rule of this model is "r" too',
        ),
        (
            SCHEMA + RULE + 'kind = "sentiment"\n',
            (
                f'{AT}.semantic_rules.r.kind: expected one of "json_path_number", "json_path_string_not_contains", '
                'got "sentiment"'
            ),
        ),
        (LOOP + "max_attempts = 0\n", f"{AT}.guard_loop.max_attempts: expected a number of answers, 1 to 100, got 0"),
    ],
)
def test_what_cannot_be_honoured_is_a_problem_at_its_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, BASE + text) == [problem]


@pytest.mark.parametrize(
    ("text", "words", "loop"),
    [
        (
            SCHEMA + NUMBER,
            (
                "every answer is JSON that one of these accepts: answer, and keeps to r; streams are held until their end; "
                "the form that a request asks for is kept where it says strict"
            ),
            "at most 3 answers; told what is wrong",
        ),
        (
            (
                'structured_output = { response_format = "pass_on", tool_arguments = "enforce", '
                'guard_loop = { max_attempts = 9, max_failures_per_rule = 2, on_violation = "retry" } }\n'
            ),
            "arguments match the schema of their tool always",
            "at most 4 answers, 2 that one rule rejects; asked the same again",
        ),
        (
            'max_attempts = 1\nstructured_output = { response_format = "enforce" }\n',
            "the form that a request asks for is kept always",
            "1 answer",
        ),
    ],
)
def test_the_loader_says_what_is_promised(tmp_path: Path, text: str, words: str, loop: str) -> None:
    found = output_guarantee(load(tmp_path, BASE + text).definitions[0])
    assert found is not None
    assert ("; ".join(found.words), found.loop) == (words, loop)


def test_of_a_model_that_says_nothing_nothing_is_said(tmp_path: Path) -> None:
    assert output_guarantee(load(tmp_path, BASE).definitions[0]) is None
