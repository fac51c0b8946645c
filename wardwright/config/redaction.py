"""What must hold of the redactions of a model: each can be made as it is written, and means something."""

from collections.abc import Iterator

from wardwright.config.definitions import redaction_of
from wardwright.config.problems import Problem, below, shown
from wardwright.config.settings import ModelSettings, RedactionSettings
from wardwright.policy.patterns import PatternError
from wardwright.policy.redaction import Redactor
from wardwright.policy.secrets_in_text import FINDERS


def check_redaction(model: ModelSettings, path: str, file: str | None = None) -> Iterator[Problem]:
    """Check the redactions of one model, whose path is given."""
    at = below(path, "redaction")
    if model.redaction and model.capture == "metadata":
        message = 'expected only with capture = "full_session": without content there is nothing to redact'
        yield Problem(at, message, file)
    seen = set(FINDERS)
    for index, rule in enumerate(model.redaction):
        place = below(at, index if rule.id in seen else rule.id)
        if rule.id in seen:
            whose = "what is redacted anyway" if rule.id in FINDERS else "another redaction of this model"
            yield Problem(
                below(place, "id"), f"expected an id of its own, but that of {whose} is {shown(rule.id)} too", file
            )
        seen.add(rule.id)
        for key, message in _pattern_faults(rule):
            yield Problem(below(place, key), message, file)


def _pattern_faults(rule: RedactionSettings) -> Iterator[tuple[str, str]]:
    if rule.contains is not None and rule.regex is not None:
        yield "regex", "expected contains or regex, got both"
        return
    key, pattern = ("contains", rule.contains) if rule.regex is None else ("regex", rule.regex)
    if pattern is None:
        yield "contains", "expected contains or regex, got neither"
        return
    try:
        Redactor([redaction_of(rule)])
    except PatternError as error:
        yield key, f"expected a pattern that {error}, got {shown(pattern)}"
