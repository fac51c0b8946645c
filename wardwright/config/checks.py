"""What must hold between the tables of a configuration, and between the file and the machine it is on.

Each check yields the problems of one kind of table, so that together they come in the order of the format. A credential or
a model file that is named but not there is only a warning: the daemon can start, says so, and the other providers serve.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from wardwright.config.address import parse_bind, url_fault
from wardwright.config.definitions import selectors_of, target_of
from wardwright.config.examine import entry_paths
from wardwright.config.governance import check_rules
from wardwright.config.problems import Problem, below, nearest_hint, repeated_ids, shown
from wardwright.config.redaction import check_redaction
from wardwright.config.settings import (
    LlamaCppSettings,
    ModelSettings,
    ProviderSettings,
    RemoteSettings,
    RetentionSettings,
    ServerSettings,
    StorageSettings,
    TargetSettings,
)
from wardwright.config.stream_rules import check_stream_rules
from wardwright.config.structured_output import check_structured_output
from wardwright.domain.route import Composition, ModelDefinition, Selector
from wardwright.planner.graph import selector_path, validate_graph
from wardwright.planner.nesting import DeclaredGraph, never_chosen, validate_nesting


class DeclaredModel(msgspec.Struct, frozen=True):
    """A model's settings and where they were declared; `file` is set for an included file."""

    settings: ModelSettings
    path: str
    file: str | None = None


def check_server(server: ServerSettings, bind_path: str, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Check the address, and that one which others can reach is protected by an admin token."""
    address = parse_bind(server.bind)
    if address is None:
        yield Problem(bind_path, f'expected "host:port", an IPv6 host in brackets, got {shown(server.bind)}')
    elif not address.is_loopback and not environ.get(server.admin_token_env, "").strip():
        message = f"expected a loopback address while {server.admin_token_env} is not set, got {shown(server.bind)}"
        yield Problem(bind_path, message)


def check_storage(storage: StorageSettings, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Check that what is in receipts is kept no longer than they are, and that the URL of a database is there, and looks like one.

    The URL is never shown.
    """
    yield from _check_retention(storage.retention)
    if storage.kind != "postgres":
        return
    path, url = "storage.url_env", environ.get(storage.url_env, "").strip()
    if not url:
        yield Problem(path, f"expected the URL of a PostgreSQL database in {storage.url_env}, which is not set")
    elif not url.startswith(("postgresql://", "postgres://")):
        message = f'expected a URL such as "postgresql://user:password@host:5432/database" in {storage.url_env}'
        yield Problem(path, f"{message}, got something else (not shown here)")


def _check_retention(kept: RetentionSettings) -> Iterator[Problem]:
    for key, days in (("events_days", kept.events_days), ("content_days", kept.content_days)):
        if days is not None and kept.receipts_days is not None and days > kept.receipts_days:
            message = f"expected at most the {kept.receipts_days:g} days that receipts are kept (receipts_days)"
            yield Problem(f"storage.retention.{key}", f"{message}, got {days:g}")


def check_providers(providers: Sequence[ProviderSettings]) -> Iterator[Problem]:
    """Check that ids are unique, and what each kind of provider asks of its own keys."""
    names = [provider.id for provider in providers]
    yield from repeated_ids("providers", names)
    for provider, path in zip(providers, entry_paths("providers", names), strict=True):
        if isinstance(provider, RemoteSettings):
            yield from _check_remote(provider, path)
        elif isinstance(provider, LlamaCppSettings):
            yield from _check_llama_cpp(provider, path)


def check_targets(
    targets: Sequence[TargetSettings], providers: Sequence[ProviderSettings], provider_names: Sequence[str]
) -> Iterator[Problem]:
    """Check that ids are unique, providers exist, and no window is larger than the server behind it.

    `provider_names` are all names that the file declares, those of malformed providers included.
    """
    servers = {provider.id: provider for provider in providers if isinstance(provider, LlamaCppSettings)}
    names = [target.id for target in targets]
    yield from repeated_ids("targets", names)
    for target, path in zip(targets, entry_paths("targets", names), strict=True):
        if target.provider not in provider_names:
            hint = nearest_hint(target.provider, provider_names)
            message = f"expected the id of a provider, got {shown(target.provider)}{hint}"
            yield Problem(below(path, "provider"), message)
        server = servers.get(target.provider)
        if server is not None and target.context_window > server.context_window:
            message = f"expected at most the {server.context_window} tokens of provider {shown(server.id)}"
            yield Problem(below(path, "context_window"), f"{message}, got {target.context_window}")


def check_models(
    models: Sequence[DeclaredModel], targets: Sequence[TargetSettings], other_models: Collection[str] = ()
) -> Iterator[Problem]:
    """Check that ids are unique, that the route graphs are sound, alone and together, and that every rule can be honoured.

    `other_models` may be members too, though nothing more is known of them here.
    """
    target_ids = [target.id for target in targets]
    model_ids = [*(model.settings.id for model in models), *other_models]
    nesting: dict[int, list[Problem]] = defaultdict(list)
    for found in validate_nesting(_graphs(models, targets)):
        model = models[found.graph]
        path = below(model.path, found.problem.path)
        nesting[found.graph].append(Problem(path, found.problem.message, model.file))
    declared: dict[str, DeclaredModel] = {}
    for index, model in enumerate(models):
        name = model.settings.id
        if name and name in declared:
            first = declared[name]
            where = f" in {first.file}" if first.file else ""
            message = f'expected an id of its own, but another model{where} is "{name}" too'
            yield Problem(below(model.path, "id"), message, model.file)
        declared.setdefault(name, model)
        for problem in validate_graph(_selectors(model), target_ids, model.settings.route_root, model_ids):
            yield Problem(below(model.path, problem.path), problem.message, model.file)
        yield from nesting[index]
        yield from check_rules(model.settings.governance, model.path, targets, model.file)
        yield from check_stream_rules(model.settings, model.path, target_ids, model.file)
        yield from check_redaction(model.settings, model.path, model.file)
        yield from check_structured_output(model.settings.structured_output, model.path, model.file)


def warn_of_missing(providers: Sequence[ProviderSettings], environ: Mapping[str, str]) -> Iterator[Problem]:
    """Say which credentials and model files are named but not there. Reads the file system."""
    for provider in providers:
        path = below("providers", provider.id)
        if isinstance(provider, RemoteSettings):
            if provider.credential_env is not None and not environ.get(provider.credential_env):
                message = f"{provider.credential_env} is not set, so every call to this provider fails and falls over to the next target"
                yield Problem(below(path, "credential_env"), message)
            if provider.credential_file is not None and not Path(provider.credential_file).is_file():
                yield Problem(below(path, "credential_file"), f"no file at {shown(provider.credential_file)}")
        elif (
            isinstance(provider, LlamaCppSettings)
            and provider.model_path is not None
            and not Path(provider.model_path).is_file()
        ):
            yield Problem(below(path, "model_path"), f"no file at {shown(provider.model_path)}")


def warn_of_unreached(model: DeclaredModel, definition: ModelDefinition) -> Iterator[Problem]:
    """Say which selectors of a model routing can never come to."""
    reached = {selector.id for selector in definition.selectors}
    for selector in selectors_of(model.settings):
        if selector.id not in reached:
            message = f"nothing routes here: it is not reached from {shown(definition.root)}"
            yield Problem(below(model.path, selector_path(selector)), message, model.file)


def warn_of_unreachable_escalation(
    models: Sequence[DeclaredModel], compositions: Sequence[Composition]
) -> Iterator[Problem]:
    """Say which stream rules escalate to a target that no request of their model can come to."""
    for model, composition in zip(models, compositions, strict=True):
        reached = {target.id for each in (composition.root, *composition.nested.values()) for target in each.targets}
        for rule in model.settings.stream_rules:
            if rule.target is not None and rule.target not in reached:
                path = below(model.path, f"stream_rules.{rule.id}.target")
                yield Problem(path, "never answers: nothing in this model's route graph leads to it", model.file)


def _graphs(models: Sequence[DeclaredModel], targets: Sequence[TargetSettings]) -> list[DeclaredGraph]:
    known = tuple(target_of(target) for target in targets)
    return [
        DeclaredGraph(model.settings.id, tuple(_selectors(model)), known, model.settings.route_root) for model in models
    ]


def _selectors(model: DeclaredModel) -> list[Selector]:
    """The selectors of a model that can be spoken of."""
    return [selector for selector in selectors_of(model.settings) if selector.id]


def warn_of_no_effect(models: Sequence[DeclaredModel], targets: Sequence[TargetSettings]) -> Iterator[Problem]:
    """Say which members of a dispatcher are never chosen, and which keys of alloys change nothing."""
    for found in never_chosen(_graphs(models, targets)):
        model = models[found.graph]
        yield Problem(below(model.path, found.problem.path), found.problem.message, model.file)
    for model in models:
        for alloy in model.settings.alloys:
            if alloy.partial_context and alloy.min_context_window is not None:
                path = below(model.path, f"alloys.{alloy.id}.min_context_window")
                yield Problem(
                    path, "changes nothing with partial_context: each constituent goes by its own window", model.file
                )


def _check_remote(provider: RemoteSettings, path: str) -> Iterator[Problem]:
    fault = url_fault(provider.base_url)
    if fault is not None:
        yield Problem(below(path, "base_url"), f"expected an http or https URL {fault}")
    if provider.credential_env is not None and provider.credential_file is not None:
        yield Problem(below(path, "credential_file"), "expected credential_env or credential_file, got both")


def _check_llama_cpp(provider: LlamaCppSettings, path: str) -> Iterator[Problem]:
    if provider.weights is None and provider.model_path is None:
        yield Problem(below(path, "weights"), "expected weights or model_path, got neither")
    elif provider.weights is not None and provider.model_path is not None:
        yield Problem(below(path, "model_path"), "expected weights or model_path, got both")
