"""The commands below `wardwright models` that roll versions of a model out: on a running daemon, by its admin API."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import say, show, show_json, styled, table, visible

if TYPE_CHECKING:
    from rich.tree import Tree

    from wardwright.cli.client import Daemon

Json = Mapping[str, Any]

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The model, by its public name.")]
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="The version, as `models show` lists it.")]
VersionOption = Annotated[
    str | None, typer.Option("--version", metavar="VERSION", help="This version. [default: the active one]")
]
FileArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The model as TOML or JSON: its table, and targets of its own; - is stdin."),
]

_ROOT = "/admin/wardwright-models"
_PREFIX = "wardwright/"


def add_commands(models: typer.Typer) -> None:
    """Add these commands to a group."""
    for name, command in (
        ("show", show_model),
        ("graph", graph),
        ("draft", draft),
        ("publish", publish),
        ("canary", canary),
        ("rollback", roll_back),
        ("retire", retire),
        ("export", export),
        ("import", import_model),
    ):
        models.command(name)(command)


def show_model(
    model: ModelArgument, *, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Show what answers for a model, and its versions. And what happened to them."""
    from wardwright.cli.client import connect_by
    from wardwright.cli.receipt_story import moment

    with connect_by(config, url) as daemon:
        summary = daemon.get(_path(model), holding="id")
        versions = daemon.get(_path(model, "versions"), holding="data")
    if as_json:
        show_json({**summary, "versions": versions["data"], "history": versions["history"]})
        return
    say(_headline(summary))
    listed = table("VERSION", "STATE", "FROM", "MADE", "PUBLISHED")
    for version in versions["data"]:
        published = "-" if version["published_at"] is None else moment(version["published_at"])
        listed.add_row(
            *map(
                styled, (version["version"], _state(version), version["source"], moment(version["added_at"]), published)
            )
        )
    show(listed)
    say("history, newest first")
    for step in versions["history"]:
        say(f"  {moment(step['at'])}  {_told(step)}")


def graph(
    model: ModelArgument,
    *,
    version: VersionOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the route graph of a model. Its selectors, what they lead to, and the targets at its ends."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        detail = _detail(daemon, model, version)
    if as_json:
        show_json(detail["route_graph"])
        return
    say(f"{detail['model_id']}, version {detail['summary']['version']}")
    show(_drawn(detail["route_graph"]))


def draft(
    model: ModelArgument,
    file: FileArgument,
    *,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a definition and keep it as a version. It answers nobody yet."""
    from wardwright.cli.client import connect_by

    artifact = _read(file, model)
    with connect_by(config, url) as daemon:
        made = daemon.post(_path(model, "drafts"), artifact, holding="version")
    _report(made, f"{made['version']} is a version of {_plain(model)}: {made['state']}", as_json=as_json)


def publish(
    model: ModelArgument,
    version: VersionArgument,
    *,
    instead_of: Annotated[
        str | None, typer.Option("--instead-of", metavar="VERSION", help="Only if this is what answers now.")
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version answer everybody from now on. Requests in flight keep the one they began with."""
    from wardwright.cli.client import connect_by

    condition = {} if instead_of is None else {"instead_of": instead_of}
    with connect_by(config, url) as daemon:
        made = daemon.post(_path(model, "versions", version, "publish"), condition, holding="id")
    _report(made, f"{made['active_version']} answers for {made['id']}", as_json=as_json)


def canary(
    model: ModelArgument,
    version: VersionArgument,
    percent: Annotated[float, typer.Argument(metavar="PERCENT", min=0, max=100, help="Its share of the sessions.")],
    *,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version answer a share of the sessions. The published one answers the others; 0 ends that."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        made = daemon.post(_path(model, "versions", version, "canary"), {"percent": percent}, holding="id")
    _report(made, _headline(made), as_json=as_json)


def roll_back(
    model: ModelArgument,
    *,
    undo: Annotated[
        str | None, typer.Option("--undo", metavar="VERSION", help="Only if the last step brought this version.")
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo the last step. End a canary, or publish what was published before."""
    from wardwright.cli.client import connect_by

    steps = () if undo is None else ("versions", undo)
    with connect_by(config, url) as daemon:
        made = daemon.post(_path(model, *steps, "rollback"), {}, holding="id")
    _report(made, _headline(made), as_json=as_json)


def retire(
    model: ModelArgument, *, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Serve a model no more. Its versions stay, and can be published again."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        made = daemon.delete(_path(model), holding="id")
    _report(made, _headline(made), as_json=as_json)


def export(
    model: ModelArgument, *, version: VersionOption = None, config: ConfigOption = None, url: UrlOption = None
) -> None:
    """Print a version as JSON that stands on its own. `models import` and `models draft` take it."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        show_json(_detail(daemon, model, version)["artifact"])


def import_model(
    file: FileArgument,
    *,
    publish_it: Annotated[bool, typer.Option("--publish", help="Publish it at once.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep an exported model as a version, under its name. With --publish it answers at once."""
    from wardwright.cli.client import connect_by

    artifact = _read(file, None)
    model = artifact["id"]
    with connect_by(config, url) as daemon:
        made = daemon.post(_path(model, "drafts"), artifact, holding="version")
        if not publish_it:
            _report(made, f"{made['version']} is a version of {model}: {made['state']}", as_json=as_json)
            return
        made = daemon.post(_path(model, "versions", made["version"], "publish"), {}, holding="id")
    _report(made, f"{made['active_version']} answers for {made['id']}", as_json=as_json)


def _detail(daemon: "Daemon", model: str, version: str | None) -> Json:
    if version is None:
        active = daemon.get(_path(model), holding="id")["active_version"]
        if active is None:
            raise typer.BadParameter(
                f"{_plain(model)} has no active version: name one of its drafts", param_hint="--version"
            )
        version = active
    return daemon.get(_path(model, "versions", version), holding="artifact")


def _read(file: Path, model: str | None) -> dict[str, Any]:
    """The model in a file, as the admin API takes it."""
    import tomllib

    import msgspec

    from wardwright.cli.client import CommandFailed

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"cannot read {file}: {error}") from error
    try:
        found: Any = msgspec.json.decode(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandFailed(f"{file} is neither JSON nor TOML: {error}") from error
    artifact = dict(_chosen(found, model, file))
    if model is not None:
        artifact.setdefault("id", _plain(model))
    if not isinstance(artifact.get("id"), str):
        raise CommandFailed(f"{file} does not say which model it is: it has no id")
    return artifact


def _chosen(found: Mapping[str, Any], model: str | None, file: Path) -> Mapping[str, Any]:
    """The model of a file that may hold several, as configuration files do; its targets go with it."""
    from wardwright.cli.client import CommandFailed

    listed = found.get("models")
    if not isinstance(listed, list):
        return found
    wanted = None if model is None else _plain(model)
    fitting = [each for each in listed if isinstance(each, dict) and wanted in (None, each.get("id"))]
    if len(fitting) != 1:
        names = ", ".join(str(each.get("id")) for each in listed if isinstance(each, dict)) or "none"
        raise CommandFailed(f"{file} has no single model {wanted or 'to import'}; its models: {names}")
    return fitting[0]


def _report(made: Json, sentence: str, *, as_json: bool) -> None:
    if as_json:
        show_json(made)
    else:
        say(sentence)


def _headline(summary: Json) -> str:
    name, active, trial = summary["id"], summary["active_version"], summary["canary"]
    if active is None:
        return f"{name} is {summary['status']}: nothing answers for it"
    beside = "" if trial is None else f", and {trial['version']} for {trial['percent']:g} % of the sessions"
    problem = "" if summary["problem"] is None else f"; {summary['problem']}"
    return f"{active} answers for {name}{beside}{problem}"


def _state(version: Json) -> str:
    return version["state"] if version["percent"] is None else f"{version['state']}, {version['percent']:g} %"


def _told(step: Json) -> str:
    words = str(step["what"]).replace("_", " ")
    version = "" if step.get("version") is None else f" {step['version']}"
    share = "" if step.get("percent") is None else f" at {step['percent']:g} %"
    source = "" if step.get("source") is None else f", by the {_SOURCES.get(step['source'], step['source'])}"
    return f"{words}{version}{share}{source}"


_SOURCES = {"file": "configuration file", "admin": "admin API"}


def _drawn(route_graph: Json) -> "Tree":
    """The graph as a tree; a selector that is reached by several ways is drawn once and named again."""
    from rich.tree import Tree

    nodes = {node["id"]: node for node in route_graph["nodes"]}
    targets = {target["id"]: target for target in route_graph["targets"]}
    drawn: set[str] = set()

    def label(name: str) -> str:
        if name in nodes:
            extra = "".join(f", {key} {_plainly(value)}" for key, value in nodes[name]["settings"].items())
            return f"{name}  {nodes[name]['kind']}{extra}"
        if name in targets:
            target = targets[name]
            return f"{name}  {target['upstream_model']} at {target['provider']}, window {target['context_window']}"
        return name

    def grow(branch: Tree, name: str) -> None:
        if name in drawn:
            branch.add(styled(f"{name}  (drawn above)"))
            return
        below = branch.add(styled(label(name)))
        if name in nodes:
            drawn.add(name)
            for member in nodes[name]["members"]:
                grow(below, member)

    root = Tree("", hide_root=True)
    grow(root, route_graph["root"])
    return root


def _plainly(value: Any) -> str:
    if isinstance(value, dict):
        return " and ".join(f"{key} {_plainly(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plainly, value))
    return visible(str(value).lower() if isinstance(value, bool) else value)


def _path(model: str, *parts: str) -> str:
    return "/".join([_ROOT, quote(_plain(model), safe=""), *(quote(part, safe=":") for part in parts)])


def _plain(model: str) -> str:
    return model.removeprefix(_PREFIX)
