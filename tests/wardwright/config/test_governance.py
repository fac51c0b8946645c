"""Route rules in a configuration: what may be said, and every way to say it wrong."""

from pathlib import Path

import pytest

from tests.wardwright.config.test_checks import MODEL, PROVIDER, TARGET, problems
from wardwright.config.load import load_config
from wardwright.domain.policy import RouteRule

BASE = PROVIDER + TARGET + MODEL
AT = "models.m.governance.r"


def rule(text: str, name: str = "r") -> str:
    return f'[[models.governance]]\nid = "{name}"\nkind = "route_gate"\n{text}\n'


def test_a_rule_becomes_part_of_the_definition_and_of_its_version(tmp_path: Path) -> None:
    path = tmp_path / "wardwright.toml"
    versions = set()
    for wanted in ("customer record", "CUSTOMER"):
        path.write_text(BASE + rule(f'contains = "{wanted}"\naction = "restrict_routes"\nallowed_targets = ["local"]'))
        (definition,) = load_config(path, {}).definitions
        assert definition.governance == (
            RouteRule(id="r", action="restrict_routes", contains=wanted, allowed_targets=("local",)),
        )
        versions.add(definition.version)
    assert len(versions) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'action = "restrict_routes"',
            f"{AT}.allowed_targets: expected at least one target or provider, got nothing",
        ),
        (
            'action = "restrict_routes"\nallowed_targets = ["locale"]',
            f'{AT}.allowed_targets: expected the id of a target or of a provider, got "locale", did you mean "local"?',
        ),
        (
            'action = "block"\nallowed_targets = ["local"]',
            f"{AT}.allowed_targets: expected only with restrict_routes, got it with block",
        ),
        ('action = "reroute"', f"{AT}.target_model: expected the target that reroute leads to, got nothing"),
        (
            'action = "switch_model"\ntarget_model = "local/b"',
            f'{AT}.target_model: expected the id of a target, got "local/b", did you mean "local/a"?',
        ),
        (
            'action = "block"\ntarget_model = "local/a"',
            f"{AT}.target_model: expected only with switch_model or reroute, got it with block",
        ),
        ('action = "block"\ncontains = "a"\nregex = "b"', f"{AT}.regex: expected contains or regex, got both"),
        (
            'action = "block"\nregex = "(a)\\\\1"',
            (
                f"{AT}.regex: expected a pattern that has no back-reference: matching takes linear time, which rules "
                'them out, got "(a)\\\\1"'
            ),
        ),
    ],
)
def test_what_cannot_be_honoured_is_a_problem_at_its_place(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, BASE + rule(text)) == [problem]


def test_every_rule_has_an_id_of_its_own(tmp_path: Path) -> None:
    assert problems(tmp_path, BASE + rule('action = "block"') + rule('action = "block"')) == [
        'models.m.governance[1].id: expected an id of its own, but another rule of this model is "r" too'
    ]


def test_a_kind_of_a_later_version_is_refused_as_such(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, BASE + '[[models.governance]]\nid = "r"\nkind = "request_guard"\n')
    assert problem.startswith('models.m.governance.r.kind: "request_guard" is not supported by this version yet')
