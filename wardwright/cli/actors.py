"""`wardwright actors`: the supervision tree of a running daemon, and the lever that proves it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import counted, say, show, show_json, styled

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

Json = Mapping[str, Any]
PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help="Path in the tree, such as wardwright/providers/local.")
]

_STATUS_STYLES = {
    "running": "green",
    "passive": "blue",
    "starting": "yellow",
    "restarting": "yellow",
    "draining": "yellow",
    "stopping": "yellow",
}

actors = typer.Typer(help="The supervision tree of a running daemon.", no_args_is_help=True)


@actors.command("tree")
def tree(*, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Draw the tree: every actor with its status and restarts. And with its last exit and its mailbox, where there is something to tell."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        runtime = daemon.get("/admin/runtime", holding="tree")
    if as_json:
        show_json(runtime)
        return
    show(_drawn(runtime["tree"]))
    say(f"{counted(runtime['actor_count'], 'actor')}, boot {runtime['boot']}")


@actors.command("inspect")
def inspect(
    path: PathArgument, *, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Show one actor: its facts, and its state as it shows itself."""
    from rich.table import Table

    from wardwright.cli.client import actor_path, connect_by

    with connect_by(config, url) as daemon:
        actor = daemon.get(actor_path(path), holding="path")
    if as_json:
        show_json(actor)
        return
    grid = Table.grid(padding=(0, 2))
    for name, value in _facts(actor):
        grid.add_row(styled(name, "bold"), styled(value))
    show(grid)


@actors.command("kill")
def kill(
    path: PathArgument, *, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Kill an actor as a crash would. Its supervisor decides what follows: watch it in `actors tree`."""
    from wardwright.cli.client import actor_path, connect_by

    with connect_by(config, url) as daemon:
        answer = daemon.post(f"{actor_path(path)}/kill", holding="killed")
    if as_json:
        show_json(answer)
    else:
        say(f"killed {answer['path']}")


def _drawn(node: Json) -> "Tree":
    from rich.tree import Tree

    drawn = Tree(_label(node))
    for child in node.get("children", ()):
        drawn.add(_drawn(child))
    return drawn


def _label(node: Json) -> "Text":
    """Name and status, and of the rest what is worth a look: an actor without a history is one short line.

    The name is the last step of the path, so that what is read here can be typed after `actors inspect`.
    """
    from rich.text import Text

    status = str(node.get("status", "unknown"))
    remarks = []
    if node.get("restarts"):
        remarks.append(f"restarts {node['restarts']}")
    if node.get("last_exit"):
        remarks.append(f"last exit {node['last_exit']}")
    if node.get("mailbox_depth"):
        remarks.append(f"mailbox {node['mailbox_depth']}")
    if node.get("waiting_on"):
        remarks.append(f"waits on {', '.join(node['waiting_on'])}")
    if node.get("passive"):
        remarks.append(f"and {node['passive']} passive")
    return Text.assemble(
        styled(node["path"].rpartition("/")[2], "bold"),
        "  ",
        styled(status, _STATUS_STYLES.get(status, "red")),
        styled("".join(f"  {remark}" for remark in remarks)),
    )


def _facts(actor: Json) -> Iterator[tuple[str, str]]:
    """Every fact as a line, with the facts of its state at the end; what is absent is left out."""
    for name, value in actor.items():
        if value is None or value == [] or name == "state":
            continue
        yield name, _shown(value)
    for name, value in (actor.get("state") or {}).items():
        yield f"state.{name}", _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, str | int | float):
        return str(value)

    import msgspec

    return msgspec.json.encode(value).decode()
