"""Capture and redaction in a configuration: what becomes of them, and every way to say them wrong."""

from pathlib import Path

import pytest

from tests.wardwright.config.test_checks import MODEL, PROVIDER, TARGET, problems
from wardwright.config.artifact import decode_artifact, define, encode_artifact
from wardwright.config.load import load_config
from wardwright.domain.policy import RedactionRule

BASE = PROVIDER + TARGET + MODEL
FULL = 'capture = "full_session"\n'


def rule(text: str, name: str = "staff") -> str:
    return f'[[models.redaction]]\nid = "{name}"\n{text}\n'


def test_what_is_captured_and_redacted_is_part_of_a_version(tmp_path: Path) -> None:
    path = tmp_path / "wardwright.toml"
    versions = []
    for text in (BASE, BASE + FULL, BASE + FULL + rule(r"regex = 'EMP-\d{6}'")):
        path.write_text(text)
        loaded = load_config(path, {})
        versions.append(loaded.definitions[0].version)
    assert len(set(versions)) == 3
    defined = define(loaded.settings.models[0], loaded.settings.targets)
    assert defined.definition.redaction == (RedactionRule(id="staff", regex=r"EMP-\d{6}"),)
    assert decode_artifact(encode_artifact(defined.artifact)) == defined


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            rule('contains = "x"'),
            'models.m.redaction: expected only with capture = "full_session": without content there is nothing to redact',
        ),
        (FULL + rule(""), "models.m.redaction.staff.contains: expected contains or regex, got neither"),
        (
            FULL + rule('contains = "x"\nregex = "y"'),
            "models.m.redaction.staff.regex: expected contains or regex, got both",
        ),
        (
            FULL + rule('regex = "x*"'),
            (
                "models.m.redaction.staff.regex: expected a pattern that does not match the empty text: "
                'this one would match everywhere, got "x*"'
            ),
        ),
        (
            FULL + rule('contains = "x"', "email"),
            'models.m.redaction[0].id: expected an id of its own, but that of what is redacted anyway is "email" too',
        ),
        (
            FULL + rule('contains = "x"') + rule('contains = "y"'),
            'models.m.redaction[1].id: expected an id of its own, but that of another redaction of this model is "staff" too',
        ),
        (
            FULL + rule('contains = "x"', "Staff"),
            (
                "models.m.redaction.Staff.id: expected an id: 1 to 64 small letters, digits, dots, underscores and hyphens, "
                'got "Staff"'
            ),
        ),
        ('capture = "all"\n', 'models.m.capture: expected one of "full_session", "metadata", got "all"'),
    ],
)
def test_what_cannot_be_honoured_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, BASE + text) == [problem]
