"""The `wardwright` command: the list of commands, and the entry point.

Command modules import little at the top and the rest when they run: help must come up at once.
"""

from typing import Annotated

import typer

import wardwright
from wardwright.cli.actors import actors
from wardwright.cli.boundary import Boundary
from wardwright.cli.check import check
from wardwright.cli.erase import erase
from wardwright.cli.export import export, stats, tail
from wardwright.cli.init import init
from wardwright.cli.keys import keys
from wardwright.cli.models import models
from wardwright.cli.receipts import receipts
from wardwright.cli.replay import replay
from wardwright.cli.serve import serve
from wardwright.cli.simulate import simulate
from wardwright.cli.sinks import sinks
from wardwright.cli.storage import storage
from wardwright.cli.verify import verify

app = typer.Typer(
    name="wardwright",
    cls=Boundary,
    help="A supervised LLM gateway: stable model names, governed streams, and a receipt for every decision.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: the decorated kind takes three times as long to come up
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"wardwright {wardwright.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(serve)
app.command()(check)
app.command()(init)
app.command()(simulate)
receipts.command("tail")(tail)
receipts.command("export")(export)
receipts.command("stats")(stats)
receipts.command("verify")(verify)
receipts.command("replay")(replay)
receipts.command("erase")(erase)
app.add_typer(models, name="models")
app.add_typer(receipts, name="receipts")
app.add_typer(sinks, name="sinks")
app.add_typer(storage, name="storage")
app.add_typer(actors, name="actors")
app.add_typer(keys, name="keys")


def main() -> None:
    """Run one command and exit with its code. An interrupt and a reader that left early end it without a word."""
    app(prog_name="wardwright")


if __name__ == "__main__":
    main()
