"""The artifact of `/__test/config`: what of the original's form is read, and what is refused and where."""

from typing import Any

import pytest

from wardwright.config.inline import MockSettings, Script, SequenceSettings
from wardwright.config.inline_artifact import InlineModel, InvalidTestConfig, read_inline_artifact
from wardwright.config.settings import AnthropicSettings, OllamaSettings, OpenAICompatibleSettings


def target(model: str, window: int = 100, **keys: Any) -> dict[str, Any]:
    return {"model": model, "context_window": window, **keys}


def read(*targets: dict[str, Any], **keys: Any) -> InlineModel:
    credentials_allowed = keys.pop("credentials_allowed", False)
    tree = {"model_id": "unit-model", "version": "unit-version", "targets": list(targets), **keys}
    return read_inline_artifact(tree, credentials_allowed=credentials_allowed)


def problems(*targets: Any, **keys: Any) -> list[str]:
    with pytest.raises(InvalidTestConfig) as caught:
        read(*targets, **keys)
    return [str(problem) for problem in caught.value.problems]


class TestTargets:
    def test_a_target_is_a_mock_at_the_provider_before_its_slash(self) -> None:
        found = read(target("tiny/model", 8), target("tiny/deep/er"), target("plain"))
        assert [(t.id, t.provider, t.upstream_model, t.context_window) for t in found.artifact.targets] == [
            ("tiny/model", "tiny", "model", 8),
            ("tiny/deep/er", "tiny", "deep/er", 100),
            ("plain", "plain", "plain", 100),
        ]
        assert {type(provider) for provider in found.providers.values()} == {MockSettings}

    def test_scripts_of_one_provider_are_kept_by_model(self) -> None:
        found = read(
            target("canned/one", provider_kind="canned_sequence", canned_outputs=["a", {"b": 1}]),
            target(
                "canned/two",
                provider_kind="canned_sequence",
                canned_stream_attempt_chunks=[["x", "y"], ["z"]],
                canned_stream_error="boom",
                canned_delay_ms=5,
            ),
        )
        provider = found.providers["canned"]
        assert isinstance(provider, SequenceSettings)
        assert provider.scripts == {
            "one": Script(outputs=("a", '{"b":1}')),
            "two": Script(attempt_chunks=(("x", "y"), ("z",)), stream_error="boom", delay_ms=5),
        }

    def test_targets_that_state_different_providers_have_different_ones(self) -> None:
        found = read(
            target("up/a", provider_kind="openai-compatible", provider_base_url="http://127.0.0.1:1/v1"),
            target("up/b", provider_kind="openai-compatible", provider_base_url="http://127.0.0.1:2/v1"),
            target("up/c", provider_kind="openai-compatible", provider_base_url="http://127.0.0.1:1/v1"),
        )
        assert [t.provider for t in found.artifact.targets] == ["up", "up.2", "up"]

    def test_servers_are_asked_over_their_own_apis(self) -> None:
        found = read(
            target("ollama/qwen"),
            target("other/qwen", provider_kind="ollama", provider_base_url="http://box:1/", provider_timeout_ms=1500),
        )
        urls = [p.base_url for p in found.providers.values() if isinstance(p, OllamaSettings)]
        assert urls == ["http://127.0.0.1:11434", "http://box:1/"]
        asked = target("claude/x", provider_kind="anthropic", provider_base_url="http://box:2")
        assert isinstance(read(asked).providers["claude"], AnthropicSettings)
        assert found.providers["other"].timeouts.total == 1.5
        assert found.providers["ollama"].timeouts.total == 180

    def test_what_this_configuration_says_of_targets_may_be_said_here_too(self) -> None:
        found = read(target("a/x", capabilities=["tools"], price={"input": 1, "output": 2}, tags=["private"]))
        (made,) = found.artifact.targets
        assert (made.capabilities, made.tags) == (("tools",), ("private",))

    def test_credentials_need_leave(self) -> None:
        asked = target("up/a", provider_kind="openai-compatible", provider_base_url="http://h/v1", credential_env="KEY")
        assert problems(asked) == [
            "targets.up/a.credential_env: credential references in __test/config require WARDWRIGHT_ALLOW_TEST_CREDENTIALS=1"
        ]
        provider = read(asked, credentials_allowed=True).providers["up"]
        assert isinstance(provider, OpenAICompatibleSettings)
        assert provider.credential_env == "KEY"

    @pytest.mark.parametrize(
        ("wrong", "path"),
        [
            (target("a/x", 0), "targets.a/x.context_window"),
            (target("a/x", provider_kind="carrier-pigeon"), "targets.a/x.provider_kind"),
            (target("a/x", provider_kind="openai-compatible"), "targets.a/x.provider_base_url"),
            (
                target("a/x", provider_kind="openai-compatible", provider_base_url="ftp://x"),
                "targets.a/x.provider_base_url",
            ),
            (target("a/x", provider_kind="canned_sequence"), "targets.a/x.canned_outputs"),
            (
                target("a/x", provider_kind="canned_sequence", canned_outputs="text"),
                "targets.a/x.canned_outputs",
            ),
            (target("a/x", provider_timeout_ms="soon"), "targets.a/x.provider_timeout_ms"),
            (target("a/x", provider_kind="ollama", provider_headers={"x": "y"}), "targets.a/x.provider_headers"),
            (target("a/x", colour="red"), "targets.a/x.colour"),
            ({"context_window": 1}, "targets[0]"),
            ("a/x", "targets[0]"),
        ],
    )
    def test_a_target_that_cannot_be_is_refused_at_its_place(self, wrong: Any, path: str) -> None:
        assert problems(wrong)[0].split(":")[0] == path

    def test_a_target_is_named_once(self) -> None:
        assert "targets[1].id" in problems(target("a/x"), target("a/x"))[0]

    @pytest.mark.parametrize("none", [None, [], {}, "a/x"])
    def test_without_targets_there_is_nothing_to_route_to(self, none: Any) -> None:
        with pytest.raises(InvalidTestConfig) as caught:
            read_inline_artifact({"model_id": "m", "targets": none}, credentials_allowed=False)
        assert caught.value.problems[0].path == "targets"


class TestSelectors:
    def test_lists_go_by_either_name_and_entries_may_be_tables(self) -> None:
        found = read(
            target("a/x", 10),
            target("b/y", 20),
            dispatchers=[{"id": "d", "name": "shown", "targets": ["a/x", {"model": "b/y", "context_window": 20}]}],
            cascades=[{"id": "c", "models": ["d"]}],
            alloys=[
                {"id": "z", "strategy": "all", "targets": ["a/x", {"model": "b/y", "weight": 3}]},
                {"id": "w", "strategy": "", "constituents": ["a/x", "b/y"], "min_context_window": 5},
            ],
            route_root="c",
        )
        artifact = found.artifact
        assert artifact.dispatchers[0].models == ("a/x", "b/y")
        assert [(a.strategy, [c.weight for c in a.constituents]) for a in artifact.alloys] == [
            ("deterministic_all", [1, 3]),
            ("weighted", [1, 1]),
        ]

    @pytest.mark.parametrize("root", [None, "", "__targets_dispatcher__", "dispatcher.prompt_length"])
    def test_a_root_that_names_the_default_says_nothing(self, root: str | None) -> None:
        assert read(target("a/x"), route_root=root).artifact.route_root is None

    def test_a_target_has_one_window(self) -> None:
        found = problems(
            target("a/x", 10), dispatchers=[{"id": "d", "models": [{"model": "a/x", "context_window": 99}]}]
        )
        assert found == [
            "dispatchers.d.models[0].context_window: expected what the target says, 10, got 99: a target has one window"
        ]

    def test_a_fallback_of_an_alloy_is_said_with_a_cascade(self) -> None:
        alloy = {"id": "z", "constituents": ["a/x", "b/y"], "fallback_model": "a/x"}
        assert problems(target("a/x"), target("b/y"), alloys=[alloy])[0].startswith("alloys.z.fallback_model: expected")

    def test_unknown_members_and_roots_are_found(self) -> None:
        found = problems(target("a/x"), cascades=[{"id": "c", "models": ["a/y"]}], route_root="nowhere")
        assert [line.split(":")[0] for line in found] == ["cascades.c.models[0]", "route_root"]


class TestModels:
    def test_access_goes_by_either_form(self) -> None:
        old = read(target("a/x"), requires_api_key=True, auth={"unkeyed_model_access": "internal"}).artifact.access
        new = read(target("a/x"), access={"requires_api_key": True, "unkeyed": "internal"}).artifact.access
        assert old == new
        assert (old.requires_api_key, old.unkeyed) == (True, "internal")

    def test_a_blank_version_is_none(self) -> None:
        assert read(target("a/x"), version=" ").artifact.version is None

    def test_a_prefixed_name_is_refused(self) -> None:
        assert problems(target("a/x"), model_id="wardwright/m")[0].split(":")[0] == "id"

    def test_rules_name_their_target_either_way(self) -> None:
        rule = {"id": "r", "kind": "route_gate", "contains": "x", "action": "switch_model", "model": "a/x"}
        assert read(target("a/x"), governance=[rule]).artifact.governance[0].target_model == "a/x"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("prompt_transforms", {"preamble": "Be kind."}),
            ("sinks", [{"id": "s", "kind": "jsonl_file"}]),
            ("server_tools", ["clock"]),
            ("tool_mediation", {"mode": "patch"}),
        ],
    )
    def test_what_is_not_supported_yet_is_refused_unless_it_says_nothing(self, key: str, value: Any) -> None:
        assert problems(target("a/x"), **{key: value}) == [f"{key}: this key is not supported by this version yet"]
        for nothing in (None, type(value)()):
            read(target("a/x"), **{key: nothing})

    def test_rules_over_answers_go_by_either_words(self) -> None:
        rules = [
            {"action": "rewrite_chunk", "pattern": "a.b"},
            {"id": "d", "action": "drop_chunk", "contains": "x"},
            {"id": "b", "action": "block_final", "regex": "s[0-9]+", "holdback_bytes": 64, "max_hold_ms": 10},
            {"id": "r", "action": "retry_with_reminder", "contains": "y", "reminder": "Use z.", "max_retries": 2},
            {"id": "noop", "contains": "y"},
        ]
        read_rules = read(target("a/x"), stream_rules=rules).artifact.stream_rules
        assert [(r.id, r.action, r.contains, r.regex, r.replacement, r.horizon_bytes) for r in read_rules] == [
            ("stream-rule", "rewrite", "a.b", None, "[redacted]", None),
            ("d", "drop", "x", None, None, None),
            ("b", "block", None, "s[0-9]+", None, 64),
            ("r", "retry_with_reminder", "y", None, None, None),
        ]
        assert problems(target("a/x"), stream_rules=[{"id": "s", "action": "explode"}])[0].startswith(
            "stream_rules.s.action: expected"
        )

    def test_a_reminder_that_says_nothing_is_none(self) -> None:
        for reminder in ({}, {"reminder": None}, {"reminder": " "}):
            rules = [{"id": "r", "action": "retry_with_reminder", "contains": "y", **reminder}]
            (rule,) = read(target("a/x"), stream_rules=rules).artifact.stream_rules
            assert (rule.action, rule.reminder) == ("retry", None)

    @pytest.mark.parametrize(
        ("said", "mode"),
        [
            ({"regex": "s[0-9]+"}, "full_buffer"),
            ({"regex": "s[0-9]+", "holdback_bytes": 64}, "horizon"),
            ({"regex": "s[0-9]{1,9}"}, "horizon"),
            ({"regex": "s[0-9]+", "action": "annotate"}, "horizon"),
            ({"regex": "s[0-9]+", "action": "pass"}, "horizon"),
            ({"contains": "s"}, "horizon"),
        ],
    )
    def test_a_rule_without_any_horizon_has_all_of_an_answer_held(self, said: dict[str, Any], mode: str) -> None:
        rule = {"id": "r", "action": "block", **said}
        assert read(target("a/x"), stream_rules=[rule]).artifact.stream_policy.mode == mode

    def test_unless_something_else_is_asked_for(self) -> None:
        rule = {"id": "r", "action": "block", "regex": "s[0-9]+"}
        found = problems(target("a/x"), stream_rules=[rule], stream_policy={"mode": "horizon"})
        assert found[0].startswith("stream_rules.r.horizon_bytes: expected how long a match is reckoned with")

    def test_the_originals_defaults_are_no_hindrance(self) -> None:
        read(
            target("a/x"),
            model_definition_version=1,
            stream_rules=[{"id": "mock_noop", "action": "pass"}],
            policy_cache={"max_entries": 64, "recent_limit": 20},
            alert_delivery={"capacity": 16, "on_full": "dead_letter"},
            vcr={"mode": "metadata_only"},
        )

    @pytest.mark.parametrize(
        ("vcr", "capture"),
        [
            ({"mode": "full_session"}, "full_session"),
            ({"mode": "metadata_only"}, "metadata"),
            ({"mode": "other"}, "metadata"),
            (None, "metadata"),
        ],
    )
    def test_what_is_recorded_goes_by_either_words(self, vcr: Any, capture: str) -> None:
        assert read(target("a/x"), vcr=vcr).artifact.capture == capture

    def test_a_rule_of_another_kind_is_refused(self) -> None:
        found = problems(target("a/x"), governance=[{"id": "g", "kind": "request_guard", "contains": "x"}])
        assert found[0].startswith('governance.g.kind: "request_guard" is not supported by this version yet')

    def test_a_key_that_means_nothing_is_refused(self) -> None:
        assert problems(target("a/x"), dispatcher=[])[0].startswith(
            'dispatcher: unknown key, did you mean "dispatchers"?'
        )


INNER = {"model_id": "inner", "targets": [target("canned/final", 8192)]}


class TestEmbedded:
    def test_an_embedded_model_is_a_model_that_only_others_may_call(self) -> None:
        found = read(target("inner-model", 4096, target_kind="wardwright_model", artifact=INNER))
        (inner,) = found.embedded
        assert (inner.id, inner.access.unkeyed) == ("inner", "internal")
        assert found.artifact.dispatchers[0].models == ("wardwright/inner",)
        assert found.artifact.targets == ()

    def test_selectors_name_it_by_its_target(self) -> None:
        found = read(
            target("safe", artifact=INNER),
            target("a/x"),
            cascades=[{"id": "c", "models": ["safe", "a/x"]}],
        )
        assert found.artifact.cascades[0].models == ("wardwright/inner", "a/x")

    def test_a_model_that_embeds_itself_is_refused(self) -> None:
        inner = {"model_id": "unit-model", "targets": [target("a/x")]}
        found, *_ = problems(target("loop", artifact=inner))
        assert found.startswith("targets.loop.artifact: expected no cycle")
        assert "model graph cycle detected at unit-model" in found

    def test_models_are_not_embedded_without_end(self) -> None:
        inner: dict[str, Any] = INNER
        for number in range(9):
            inner = {"model_id": f"m{number}", "targets": [target("next", artifact=inner)]}
        assert any("model graph exceeds max depth 8" in line for line in problems(target("next", artifact=inner)))

    def test_problems_inside_have_their_whole_path(self) -> None:
        inner = {"model_id": "inner", "targets": [target("a/x", 0)], "colour": "red"}
        assert [line.split(":")[0] for line in problems(target("safe", artifact=inner))] == [
            "targets.safe.artifact.targets.a/x.context_window",
            "targets.safe.artifact.colour",
        ]

    def test_without_a_name_or_an_artifact_there_is_nothing_to_embed(self) -> None:
        assert problems(target("safe", target_kind="wardwright_model"))[0].startswith("targets.safe.artifact: expected")
        assert problems(target("safe", artifact={"targets": []}))[0].startswith("targets.safe.artifact: expected")
