"""Route rules: what fires, and how what they demand adds up."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.chat import Message, Part
from wardwright.domain.policy import PolicyAction, RouteRule
from wardwright.domain.route import RouteConstraints, Target
from wardwright.policy.route_gate import Gated, RouteGate, request_text

QWEN, LLAMA = Target("local/qwen", "local", "qwen", 32), Target("local/llama", "local", "llama", 64)
KIMI = Target("managed/kimi", "cloud", "kimi", 256)
TARGETS = (QWEN, LLAMA, KIMI)


def judged(*rules: RouteRule, text: str = "the customer record") -> Gated:
    return RouteGate("m", rules).judge(text, TARGETS)


def constraints(*rules: RouteRule) -> RouteConstraints:
    found = judged(*rules).constraints
    assert found is not None
    return found


def restrict(name: str, *entries: str, contains: str | None = None) -> RouteRule:
    return RouteRule(id=name, action="restrict_routes", contains=contains, allowed_targets=entries)


def left(constraints: RouteConstraints) -> list[Target]:
    return [target for target in TARGETS if constraints.allows(target)]


def test_without_a_match_nothing_is_demanded() -> None:
    assert judged(restrict("r", "local", contains="secret")) == Gated(None, ())


def test_a_rule_that_fires_is_recorded_without_a_word_of_the_text() -> None:
    rule = RouteRule(
        id="keep", action="restrict_routes", regex="(?i)CUSTOMER", allowed_targets=("local",), message="why"
    )
    assert judged(rule) == Gated(
        RouteConstraints(("local",)), (PolicyAction("m", "keep", "route_gate", "restrict_routes", "why"),)
    )


def test_a_rule_without_a_pattern_fires_on_every_request() -> None:
    assert judged(restrict("always", "local"), text="").constraints == RouteConstraints(("local",))


@pytest.mark.parametrize(
    ("entries", "allowed"),
    [
        (("local",), [QWEN, LLAMA]),
        (("local/qwen",), [QWEN]),
        (("cloud",), [KIMI]),
        (("managed",), [KIMI]),
        (("loc",), []),
        (("local/qw",), []),
        ((), []),
    ],
)
def test_an_entry_allows_a_target_by_id_by_provider_and_by_the_first_parts_of_its_id(
    entries: tuple[str, ...], allowed: list[Target]
) -> None:
    assert left(RouteConstraints(entries)) == allowed


def test_a_single_restriction_is_kept_in_the_words_of_its_rule() -> None:
    assert constraints(restrict("r", "local")).allowed_targets == ("local",)


def test_restrictions_leave_what_all_of_them_allow() -> None:
    assert constraints(restrict("a", "local", "cloud"), restrict("b", "local/qwen")).allowed_targets == ("local/qwen",)
    assert constraints(restrict("a", "managed/kimi"), restrict("b", "cloud")).allowed_targets == ("managed/kimi",)


def test_restrictions_with_nothing_in_common_allow_nothing() -> None:
    assert left(constraints(restrict("a", "local"), restrict("b", "cloud"))) == []


ENTRIES = st.lists(st.sampled_from(["local", "local/qwen", "local/llama", "cloud", "managed", "none"]), max_size=4)


@given(st.lists(ENTRIES, min_size=1, max_size=4))
def test_a_further_restriction_only_ever_narrows(lists: list[list[str]]) -> None:
    rules = [restrict(str(place), *entries) for place, entries in enumerate(lists)]
    allowed = [left(constraints(*rules[: count + 1])) for count in range(len(rules))]
    for before, after in pairwise(allowed):
        assert {target.id for target in after} <= {target.id for target in before}
    assert allowed[-1] == [t for t in TARGETS if all(RouteConstraints(tuple(entries)).allows(t) for entries in lists)]


def test_the_last_of_several_forced_targets_wins_with_its_own_fallback() -> None:
    first = RouteRule(id="a", action="switch_model", target_model="local/qwen", allow_fallback=True)
    second = RouteRule(id="b", action="reroute", target_model="managed/kimi")
    assert constraints(first, second) == RouteConstraints(forced_model="managed/kimi")
    assert constraints(second, first) == RouteConstraints(forced_model="local/qwen", allow_fallback=True)


def test_the_first_block_is_named_and_later_rules_still_count() -> None:
    first, second = RouteRule(id="a", action="block"), RouteRule(id="b", action="block")
    gated = judged(first, restrict("r", "local"), second)
    assert gated.constraints == RouteConstraints(("local",), blocked_by="a")
    assert [action.rule_id for action in gated.actions] == ["a", "r", "b"]


class TestText:
    """What rules see of a request."""

    @pytest.mark.parametrize(
        ("messages", "text"),
        [
            ([Message("user", "hi")], "user\nhi"),
            ([Message("system", "be"), Message("user", "hi")], "system\nbe\nuser\nhi"),
            ([Message("user", [Part("text", "a"), Part("image_url"), Part("text", "b")])], "user\na\nb"),
            ([Message("assistant", None, msgspec.Raw(b'[{"x":"y"}]'))], 'assistant\n[{"x":"y"}]'),
        ],
    )
    def test_all_text_of_every_message_is_seen_with_its_role(self, messages: Sequence[Message], text: str) -> None:
        assert request_text(messages) == text
