"""Stream rules in a configuration: what may be said, every way to say it wrong, and what the loader promises of each."""

from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.support.effort import times_as_long
from tests.wardwright.config.test_checks import MODEL, PROVIDER, TARGET, problems
from wardwright.config.artifact import decode_artifact, define, encode_artifact
from wardwright.config.load import Loaded, load_config
from wardwright.domain.policy import StreamPolicy, StreamRule
from wardwright.policy.stream_rules import CHANNELS

BASE = PROVIDER + TARGET + MODEL
AT = "models.m.stream_rules.r"


def rule(text: str, name: str = "r") -> str:
    return f'[[models.stream_rules]]\nid = "{name}"\n{text}\n'


def load(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "wardwright.toml"
    path.write_text(text)
    return load_config(path, {})


def test_a_rule_becomes_part_of_the_definition_and_of_its_version(tmp_path: Path) -> None:
    versions = set()
    for wanted in ("OldClient(", "OlderClient("):
        (definition,) = load(
            tmp_path, BASE + rule(f'contains = "{wanted}"\naction = "block"\non = ["any"]')
        ).definitions
        assert definition.stream_rules == (StreamRule(id="r", action="block", contains=wanted, on=CHANNELS),)
        versions.add(definition.version)
    assert len(versions) == 2


def test_the_order_in_which_channels_are_named_makes_no_other_version(tmp_path: Path) -> None:
    texts = ['on = ["text", "reasoning"]', 'on = ["reasoning", "text", "text"]']
    definitions = [load(tmp_path, BASE + rule(f'contains = "a"\naction = "block"\n{on}')).definitions for on in texts]
    assert definitions[0] == definitions[1]


def test_a_model_says_how_its_answers_are_held(tmp_path: Path) -> None:
    policy = 'stream_policy = { mode = "full_buffer", max_hold_ms = 2000, max_hold_bytes = 4096 }\n'
    (definition,) = load(tmp_path, BASE + policy + rule('regex = "a+"\naction = "retry"')).definitions
    assert definition.stream_policy == StreamPolicy("full_buffer", 2000, 4096)


def test_rules_are_kept_with_a_stored_version(tmp_path: Path) -> None:
    text = BASE + rule('contains = "a"\naction = "escalate"\ntarget = "local/a"\nmax_retries = 2')
    loaded = load(tmp_path, text)
    defined = define(loaded.settings.models[0], loaded.settings.targets)
    assert decode_artifact(encode_artifact(defined.artifact)) == defined
    assert defined.definition.stream_rules[0].max_retries == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('action = "block"', f"{AT}.contains: expected contains or regex, got neither"),
        ('action = "block"\ncontains = "a"\nregex = "b"', f"{AT}.regex: expected contains or regex, got both"),
        (
            'action = "block"\nregex = "(?=a)"',
            (
                f"{AT}.regex: expected a pattern that has no look-ahead or look-behind: matching takes linear time, "
                'which rules them out (at character 4), got "(?=a)"'
            ),
        ),
        (
            'action = "block"\nregex = "a*"',
            (
                f"{AT}.regex: expected a pattern that does not match the empty text: this one would match everywhere, "
                'got "a*"'
            ),
        ),
        (
            'action = "block"\nregex = "a+"',
            (
                f"{AT}.horizon_bytes: expected how long a match is reckoned with, since this pattern has no longest one, "
                'or stream_policy = { mode = "full_buffer" }, got nothing'
            ),
        ),
        (
            'action = "retry_with_reminder"\ncontains = "a"',
            f"{AT}.reminder: expected what the model is to be reminded of, got nothing",
        ),
        (
            'action = "block"\ncontains = "a"\nreminder = "b"',
            f"{AT}.reminder: expected only with retry_with_reminder, got it with block",
        ),
        (
            'action = "drop"\ncontains = "a"\nreplacement = "b"',
            f"{AT}.replacement: expected only with rewrite, got it with drop",
        ),
        (
            'action = "escalate"\ncontains = "a"',
            f"{AT}.target: expected the target that escalate leads to, got nothing",
        ),
        (
            'action = "escalate"\ncontains = "a"\ntarget = "local/b"',
            f'{AT}.target: expected the id of a target, got "local/b", did you mean "local/a"?',
        ),
        (
            'action = "rewrite"\ncontains = "a"\nmax_retries = 1',
            f"{AT}.max_retries: expected only with retry, retry_with_reminder or escalate, got it with rewrite",
        ),
        (
            'action = "pass"\ncontains = "a"',
            (
                f'{AT}.action: expected one of "annotate", "block", "drop", "escalate", "retry", "retry_with_reminder", '
                '"rewrite", got "pass"'
            ),
        ),
    ],
)
def test_what_cannot_be_honoured_is_a_problem_at_its_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, BASE + rule(text)) == [problem]


@pytest.mark.parametrize("extra", ["shadow = true", "horizon_bytes = 8"])
def test_an_unbounded_pattern_may_be_observed_or_bounded(tmp_path: Path, extra: str) -> None:
    assert load(tmp_path, BASE + rule(f'action = "block"\nregex = "a+"\n{extra}')).warnings == ()


def test_a_rule_that_must_hold_text_back_cannot_pass_it_through(tmp_path: Path) -> None:
    policy = 'stream_policy = { mode = "pass_through" }\n'
    assert problems(tmp_path, BASE + policy + rule('action = "block"\ncontains = "a"')) == [
        'models.m.stream_policy.mode: expected a mode that holds text back, because of the rule "r", got "pass_through"'
    ]
    assert load(tmp_path, BASE + policy + rule('action = "annotate"\ncontains = "a"')).warnings == ()


def test_every_rule_has_an_id_of_its_own(tmp_path: Path) -> None:
    twice = rule('action = "block"\ncontains = "a"')
    assert problems(tmp_path, BASE + twice + twice) == [
        'models.m.stream_rules[1].id: expected an id of its own, but another stream rule of this model is "r" too'
    ]


def test_an_escalation_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    other = TARGET.replace("local/a", "local/other")
    text = PROVIDER + TARGET + other + MODEL + 'route_root = "local/a"\n'
    (warning,) = load(tmp_path, text + rule('action = "escalate"\ncontains = "a"\ntarget = "local/other"')).warnings
    assert str(warning) == f"{AT}.target: never answers: nothing in this model's route graph leads to it"


def test_who_fails_open_says_after_how_long(tmp_path: Path) -> None:
    opening = rule('action = "block"\ncontains = "a"\non_hold_exceeded = "open"')
    wanted = f'{AT}.on_hold_exceeded: expected "open" only with max_hold_ms, here or in stream_policy, got it without'
    assert problems(tmp_path, BASE + opening) == [wanted]
    load(tmp_path, BASE + opening + "max_hold_ms = 5\n")


def test_the_loader_says_what_each_rule_promises(tmp_path: Path) -> None:
    rules = rule('action = "block"\non = ["text"]\ncontains = "OldClient("') + rule(
        'action = "annotate"\nregex = "a+"', "s"
    )
    assert [(found.model_id, found.rule.id, found.words) for found in load(tmp_path, BASE + rules).guarantees] == [
        ("m", "r", "holds at most 9 bytes"),
        ("m", "s", "observes: holds nothing, stops nothing"),
    ]


def test_a_thousand_rules_take_no_more_each_to_load_than_a_hundred_do(tmp_path: Path) -> None:
    attempts = count()

    def load_rules(many: int) -> None:
        attempt = next(attempts)  # rules that were loaded before might cost less
        words = (f"forbidden{number} of {attempt}" for number in range(many))
        rules = [rule(f'action = "block"\nregex = "(?i){word}[a-z]{{2,6}}"', f"r{n}") for n, word in enumerate(words)]
        load(tmp_path, BASE + "".join(rules))

    assert times_as_long(partial(load_rules, 1000), partial(load_rules, 100), attempts=2) < 50
