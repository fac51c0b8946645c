"""The artifact of `/__test/config`: a model with everything behind it in one JSON object, its providers included.

It is the form that the original Wardwright had (targets that state their own provider, selectors with `targets` for a list, embedded
models), read into the terms of this configuration. What those terms have no word for is refused with its place, never ignored: a
rule that silently does nothing makes a test pass for the wrong reason.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from wardwright.config.artifact import ArtifactSettings, nested_in
from wardwright.config.checks import DeclaredModel, check_models, check_providers, check_targets
from wardwright.config.examine import examine
from wardwright.config.inline import MockSettings, Script, SequenceSettings
from wardwright.config.problems import ConfigError, Problem, below, is_within, one_of, shown
from wardwright.config.settings import (
    AnthropicSettings,
    OllamaSettings,
    OpenAICompatibleSettings,
    ProviderBase,
    Timeouts,
)
from wardwright.domain.route import MODEL_PREFIX
from wardwright.policy.pattern_syntax import longest_match, parse_pattern
from wardwright.policy.patterns import Pattern, PatternError

MAX_EMBEDDED = 8
OLLAMA_URL = "http://127.0.0.1:11434"

_TIMEOUT_MS = 180_000
_ALL = "all-targets"
_SELECTORS = ("dispatchers", "cascades", "alloys")
_TOLD_ELSEWHERE = frozenset(
    {
        *("model_id", "id", "targets", "access", "requires_api_key", "auth", "vcr"),
        *("model_definition_version", "model_skyline"),
    }
)
_SERVERS: Mapping[str, Callable[..., OpenAICompatibleSettings | OllamaSettings | AnthropicSettings]] = {
    "openai-compatible": OpenAICompatibleSettings,
    "ollama": OllamaSettings,
    "anthropic": AnthropicSettings,
}
_OWN_KINDS = ("mock", "canned_sequence", *_SERVERS)
_OWN_KEYS = frozenset(
    {
        *("model", "model_id", "kind", "target_kind", "artifact", "config", "provider_kind", "provider_base_url"),
        *("provider_headers", "provider_timeout_ms", "credential_env", "credential_fnox_key", "canned_outputs"),
        *("canned_stream_chunks", "canned_stream_attempt_chunks", "canned_stream_error", "canned_delay_ms"),
    }
)
_ACTIONS = {"rewrite_chunk": "rewrite", "drop_chunk": "drop", "block_final": "block"}
_RULE_KEYS = {"pattern": "contains", "holdback_bytes": "horizon_bytes"}
# What is not supported yet, and what of it says nothing that could be missed.
_NOT_YET: Mapping[str, Callable[[Any], bool]] = {
    "prompt_transforms": lambda value: not value,
    "sinks": lambda value: not value,
    "server_tools": lambda value: not value,
    "tool_mediation": lambda value: not value,
    # bounds of what only rules use that are refused
    "policy_cache": lambda value: True,
    "alert_delivery": lambda value: True,
}


class InvalidTestConfig(ConfigError):
    """A test artifact that cannot be used, with everything that is wrong with it."""

    code = "invalid_test_config"


class InlineModel(msgspec.Struct, frozen=True):
    """A model for tests, and the models that it embeds.

    The `provider` of a target is a key of `providers`, which have an id that may be taken elsewhere: whoever places the model
    gives both their final ids.
    """

    artifact: ArtifactSettings
    embedded: tuple[ArtifactSettings, ...]
    providers: Mapping[str, ProviderBase]


def read_inline_artifact(
    tree: Mapping[str, Any], *, credentials_allowed: bool, ollama_url: str = OLLAMA_URL
) -> InlineModel:
    """Read an artifact. Purity: pure.

    Raises: InvalidTestConfig with every problem.
    """
    reader = _Reader(credentials_allowed, ollama_url)
    outer = reader.model(tree, "", ())
    models = [DeclaredModel(settings, path) for path, settings in reader.models]
    targets = [target for _, model in reader.models for target in model.targets]
    found = [problem for _, model in reader.models for problem in check_targets(model.targets, (), [*reader.providers])]
    others = [name for _, model in reader.models for name in nested_in(model)]
    found += check_models(models, targets, others)
    reported = [problem.path for problem in reader.problems]
    problems = [*reader.problems, *(p for p in found if not any(is_within(p.path, path) for path in reported))]
    if problems:
        raise InvalidTestConfig("the test artifact", problems)
    embedded = tuple(settings for _, settings in reader.models if settings is not outer)
    return InlineModel(outer, embedded, reader.providers)


class _Reader:
    """One walk through an artifact and the artifacts in it."""

    def __init__(self, credentials_allowed: bool, ollama_url: str) -> None:
        self.problems: list[Problem] = []
        self.models: list[tuple[str, ArtifactSettings]] = []
        self.providers: dict[str, ProviderBase] = {}
        self._credentials_allowed = credentials_allowed
        self._ollama_url = ollama_url

    def model(self, raw: Mapping[str, Any], path: str, above: Sequence[str]) -> ArtifactSettings:
        """Read one model; its place among `models` is before those it embeds."""
        name = raw.get("model_id", raw.get("id"))
        place = len(self.models)
        self.models.append((path, ArtifactSettings(id="")))
        members = self._members(raw.get("targets"), path, (*above, str(name)))
        tree = {"id": name, **self._translated(raw, path, members)}
        settings, problems = examine(tree, ArtifactSettings, kind="models")
        self.problems += [Problem(_joined(path, problem.path), problem.message) for problem in problems]
        self.models[place] = (path, settings)
        return settings

    # --- targets ------------------------------------------------------------------------------------------------------

    def _members(self, raw: Any, path: str, above: Sequence[str]) -> "_Members":
        """Read the targets of a model: concrete ones with their providers, and models."""
        members = _Members()
        where = below(path, "targets")
        if not isinstance(raw, list) or not raw:
            self._report(
                where, f"expected a list of at least one target, got {'nothing' if raw is None else shown(raw)}"
            )
            return members
        for index, entry in enumerate(raw):
            if not isinstance(entry, dict) or not isinstance(entry.get("model"), str) or not entry["model"].strip():
                self._report(below(where, index), "expected a table with a model")
                continue
            name = entry["model"].strip()
            at = below(where, name)
            if (
                "artifact" in entry
                or "config" in entry
                or entry.get("target_kind", entry.get("kind")) == "wardwright_model"
            ):
                members.models[name] = self._embedded(entry, at, above)
            else:
                members.targets.append(self._target(name, entry, at))
        return members

    def _embedded(self, entry: Mapping[str, Any], at: str, above: Sequence[str]) -> str:
        """Read a model that a target embeds, and name it as a member."""
        where = below(at, "artifact")
        inner = entry.get("artifact", entry.get("config"))
        name = inner.get("model_id", inner.get("id")) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or not isinstance(name, str):
            self._report(where, "expected the artifact of a model, with its model_id")
        elif name in above:
            chain = " → ".join((*above[above.index(name) :], name))
            self._report(where, f"expected no cycle, got {chain}: model graph cycle detected at {name}")
        elif len(above) >= MAX_EMBEDDED:
            self._report(
                where, f"expected at most {MAX_EMBEDDED} models in a row: model graph exceeds max depth {MAX_EMBEDDED}"
            )
        else:
            self.model({**inner, "auth": {"unkeyed_model_access": "internal"}}, where, above)
        return f"{MODEL_PREFIX}{name}"

    def _target(self, name: str, entry: Mapping[str, Any], at: str) -> dict[str, Any]:
        prefix, _, rest = name.partition("/")
        kind = entry.get("provider_kind") or ("ollama" if prefix == "ollama" else "mock")
        target = {key: value for key, value in entry.items() if key not in _OWN_KEYS}
        return {
            "id": name,
            "upstream_model": rest or name,
            **target,
            "provider": self._provider(prefix, kind, rest or name, entry, at),
        }

    def _provider(self, prefix: str, kind: Any, upstream_model: str, entry: Mapping[str, Any], at: str) -> str:
        """Have the provider that a target states among `providers`; targets that state the same share it."""
        timeouts = self._timeouts(entry.get("provider_timeout_ms", _TIMEOUT_MS), at)
        made: ProviderBase = MockSettings(id=prefix, timeouts=timeouts)
        match kind:
            case "mock":
                pass
            case "canned_sequence":
                made = SequenceSettings(id=prefix, timeouts=timeouts, scripts={upstream_model: self._script(entry, at)})
            case "openai-compatible" | "ollama" | "anthropic":
                made = self._server(prefix, kind, timeouts, entry, at)
            case _:
                self._report(below(at, "provider_kind"), f"expected {one_of(_OWN_KINDS)}, got {shown(kind)}")
        return self._placed(prefix, made)

    def _placed(self, prefix: str, made: ProviderBase) -> str:
        key = prefix
        number = 1
        while (other := self.providers.get(key)) is not None:
            joined = _joined_scripts(other, made)
            if joined is not None:
                self.providers[key] = joined
                return key
            number += 1
            key = f"{prefix}.{number}"
        self.providers[key] = made
        return key

    def _server(self, prefix: str, kind: str, timeouts: Timeouts, entry: Mapping[str, Any], at: str) -> ProviderBase:
        if entry.get("provider_headers"):
            self._report(below(at, "provider_headers"), "this key is not supported by this version yet")
        if entry.get("credential_fnox_key"):
            self._report(below(at, "credential_fnox_key"), "expected credential_env: keys are read from variables here")
        credential = entry.get("credential_env")
        if credential is not None and not self._credentials_allowed:
            message = "credential references in __test/config require WARDWRIGHT_ALLOW_TEST_CREDENTIALS=1"
            self._report(below(at, "credential_env"), message)
        url = entry.get("provider_base_url") or (self._ollama_url if kind == "ollama" else None)
        if not isinstance(url, str):
            got = "nothing" if url is None else shown(url)
            self._report(below(at, "provider_base_url"), f"expected an http or https URL, got {got}")
            return MockSettings(id=prefix, timeouts=timeouts)
        server = _SERVERS[kind](id=prefix, timeouts=timeouts, base_url=url, credential_env=credential)
        for problem in check_providers([server]):
            key = "provider_base_url" if problem.path.endswith("base_url") else "model"
            self._report(below(at, key), problem.message)
        return server

    def _timeouts(self, milliseconds: Any, at: str) -> Timeouts:
        if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or not 0 < milliseconds <= 1e9:
            self._report(below(at, "provider_timeout_ms"), f"expected milliseconds, got {shown(milliseconds)}")
            return Timeouts()
        seconds = milliseconds / 1000
        return Timeouts(first_token=seconds, idle=seconds, total=seconds)

    def _script(self, entry: Mapping[str, Any], at: str) -> Script:
        chunks, by_attempt = entry.get("canned_stream_chunks"), entry.get("canned_stream_attempt_chunks")
        outputs = self._texts(entry.get("canned_outputs", []), below(at, "canned_outputs"))
        if not outputs and chunks is None and not by_attempt:
            self._report(below(at, "canned_outputs"), "expected a list of at least one answer, got none")
        if not isinstance(by_attempt, list | None):
            self._report(below(at, "canned_stream_attempt_chunks"), "expected a list of lists of texts")
            by_attempt = None
        error, delay = entry.get("canned_stream_error"), entry.get("canned_delay_ms", 0)
        if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= 1e7:
            self._report(below(at, "canned_delay_ms"), f"expected milliseconds, 0 or more, got {shown(delay)}")
            delay = 0
        return Script(
            outputs=outputs,
            stream_chunks=None if chunks is None else self._texts(chunks, below(at, "canned_stream_chunks")),
            attempt_chunks=tuple(
                self._texts(each, below(below(at, "canned_stream_attempt_chunks"), index))
                for index, each in enumerate(by_attempt or ())
            ),
            stream_error=None if error is None else str(error),
            delay_ms=delay,
        )

    def _texts(self, raw: Any, at: str) -> tuple[str, ...]:
        """Read answers; one that is an object stands for its JSON."""
        if not isinstance(raw, list):
            self._report(at, f"expected a list of texts, got {shown(raw)}")
            return ()
        return tuple(text if isinstance(text, str) else msgspec.json.encode(text).decode() for text in raw)

    # --- the rest of a model ------------------------------------------------------------------------------------------

    def _translated(self, raw: Mapping[str, Any], path: str, members: "_Members") -> dict[str, Any]:
        """The keys of a model in the words of this configuration."""
        tree: dict[str, Any] = {"targets": members.targets, "access": _access(raw), "capture": _capture(raw.get("vcr"))}
        for key, value in raw.items():
            if key in _TOLD_ELSEWHERE or (key in ("version", "route_root") and _says_nothing(key, value, raw)):
                continue
            if key in _NOT_YET:
                if not _NOT_YET[key](value):
                    self._report(below(path, key), "this key is not supported by this version yet")
            elif key in _SELECTORS:
                tree[key] = self._selectors(key, value, below(path, key), members)
            elif key == "governance" and isinstance(value, list):
                tree[key] = [_rule(rule) for rule in value]
            elif key == "structured_output":
                if value:
                    tree[key] = _structured_output(value)
            elif key == "stream_rules" and isinstance(value, list):
                tree[key] = [_stream_rule(rule) for rule in value if not _passes(rule)]
            else:
                tree[key] = members.named(value) if key == "route_root" else value
        if "stream_policy" not in raw and _waits_for_the_end(tree.get("stream_rules")):
            tree["stream_policy"] = {"mode": "full_buffer"}
        if members.models and not any(tree.get(kind) for kind in (*_SELECTORS, "guards")):
            tree["dispatchers"] = [{"id": _ALL, "models": members.all_names()}]
        return tree

    def _selectors(self, key: str, raw: Any, at: str, members: "_Members") -> Any:
        if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
            return raw  # told as what it is when the whole is examined
        return [
            self._selector(key, entry, below(at, str(entry.get("id", index))), members)
            for index, entry in enumerate(raw)
        ]

    def _selector(self, key: str, raw: Mapping[str, Any], at: str, members: "_Members") -> dict[str, Any]:
        list_key = "constituents" if key == "alloys" else "models"
        made = {name: value for name, value in raw.items() if name not in ("name", "targets", list_key)}
        listed = raw.get(list_key, raw.get("targets"))
        if isinstance(listed, list):
            entries = [
                self._member(entry, below(below(at, list_key), index), members) for index, entry in enumerate(listed)
            ]
            made[list_key] = entries if key == "alloys" else [entry["model"] for entry in entries]
        elif listed is not None:
            made[list_key] = listed
        if key == "alloys":
            strategy = made.pop("strategy", None)
            if strategy:
                made["strategy"] = "deterministic_all" if strategy == "all" else strategy
            if made.pop("fallback_model", None):
                self._report(below(at, "fallback_model"), "expected a cascade over the alloy and its fallback instead")
        return made

    def _member(self, entry: Any, at: str, members: "_Members") -> dict[str, Any]:
        """Read a member of a selector: a name, or a table that may repeat what its target says."""
        if not isinstance(entry, dict):
            return {"model": members.named(entry)}
        name, window = entry.get("model"), entry.get("context_window")
        known = members.window(name)
        if window is not None and window != known:
            said = f"what the target says, {shown(known)}" if known is not None else "the window at the target"
            self._report(below(at, "context_window"), f"expected {said}, got {shown(window)}: a target has one window")
        kept = {key: value for key, value in entry.items() if key != "context_window"}
        return {**kept, "model": members.named(name)}

    def _report(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))


class _Members:
    """What the selectors of one model may name."""

    def __init__(self) -> None:
        self.targets: list[dict[str, Any]] = []
        self.models: dict[str, str] = {}

    def named(self, name: Any) -> Any:
        """How a member is called here: an embedded model goes by its own name."""
        return self.models.get(name, name) if isinstance(name, str) else name

    def window(self, name: Any) -> Any:
        """The window that a target states; None when there is no such target."""
        return next((target.get("context_window") for target in self.targets if target["id"] == name), None)

    def all_names(self) -> list[str]:
        """Every target and every embedded model."""
        return [*(target["id"] for target in self.targets), *dict.fromkeys(self.models.values())]


def _joined_scripts(one: ProviderBase, other: ProviderBase) -> ProviderBase | None:
    """One provider for what two targets state; None when they are two."""
    if isinstance(one, SequenceSettings) and isinstance(other, SequenceSettings):
        rest = msgspec.structs.replace(other, scripts=one.scripts)
        return msgspec.structs.replace(one, scripts={**one.scripts, **other.scripts}) if rest == one else None
    return one if one == other else None


def _access(raw: Mapping[str, Any]) -> Any:
    """Who may call the model, in either form; only what is said."""
    if "access" in raw:
        return raw["access"]
    access: dict[str, Any] = {}
    if "requires_api_key" in raw:
        access["requires_api_key"] = raw["requires_api_key"] is True
    auth = raw.get("auth")
    if isinstance(auth, dict) and auth.get("unkeyed_model_access") == "internal":
        access["unkeyed"] = "internal"
    return access


def _says_nothing(key: str, value: Any, raw: Mapping[str, Any]) -> bool:
    """Whether a version or a root is only a way to leave it out."""
    if key == "version":
        return isinstance(value, str) and not value.strip()
    if value in ("", "__targets_dispatcher__"):
        return True
    return bool(value == "dispatcher.prompt_length") and not raw.get("dispatchers")


def _rule(raw: Any) -> Any:
    if not isinstance(raw, dict) or "model" not in raw or "target_model" in raw:
        return raw
    return {("target_model" if key == "model" else key): value for key, value in raw.items()}


def _stream_rule(raw: Any) -> Any:
    """A rule over answers in the words of this configuration; `pattern` is a literal, whatever it looks like."""
    if not isinstance(raw, dict):
        return raw
    action = _ACTIONS.get(str(raw.get("action")), raw.get("action"))
    rule = {_RULE_KEYS.get(key, key): value for key, value in raw.items()}
    rule |= {"id": raw.get("id") or "stream-rule", "action": action}
    if action == "rewrite":
        rule.setdefault("replacement", "[redacted]")
    if action == "retry_with_reminder" and not str(rule.get("reminder") or "").strip():
        rule["action"] = "retry"
        rule.pop("reminder", None)
    return rule


def _capture(vcr: Any) -> str:
    """What is recorded: everything but content, unless a mode says so; of one that is not known, what is harmless."""
    mode = vcr.get("mode") if isinstance(vcr, dict) else None
    return "full_session" if mode == "full_session" else "metadata"


def _structured_output(raw: Any) -> Any:
    """The form of answers in the words of this configuration: a semantic rule may be without an id."""
    if not isinstance(raw, dict) or not isinstance(raw.get("semantic_rules"), list):
        return raw
    rules = [
        {**rule, "id": rule.get("id") or "semantic-rule"} if isinstance(rule, dict) else rule
        for rule in raw["semantic_rules"]
    ]
    return {**raw, "semantic_rules": rules}


def _waits_for_the_end(rules: Any) -> bool:
    """Whether a rule of these states no horizon and has none: the original holds all of an answer then."""
    return isinstance(rules, list) and any(isinstance(rule, dict) and _is_unbounded(rule) for rule in rules)


def _is_unbounded(rule: Mapping[str, Any]) -> bool:
    regex = rule.get("regex")
    if not isinstance(regex, str) or rule.get("horizon_bytes") is not None or rule.get("action") == "annotate":
        return False
    try:
        return longest_match(parse_pattern(Pattern(regex, is_regex=True))) is None
    except PatternError:
        return False  # told as what it is when the whole is examined


def _passes(raw: Any) -> bool:
    return isinstance(raw, dict) and raw.get("action", "pass") == "pass"


def _joined(path: str, inner: str) -> str:
    return f"{path}.{inner}" if path and inner else path or inner
