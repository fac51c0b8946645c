"""`wardwright simulate`: what would be decided on a request, without asking any provider."""

from pathlib import Path
from typing import Annotated, Any

import typer

from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import show, show_json

_STANDARD_INPUT = Path("-")


def simulate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model, by its public name.")],
    *,
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", metavar="N", min=1, help="Suppose a prompt of so many tokens.", show_default=False),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option("--request", metavar="FILE", help="A chat request as JSON; - is stdin.", show_default=False),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Decide under this version of the model, a draft for one."),
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what would be decided on a request, had it come now. As its receipt would: no provider is called, nothing is kept."""
    from wardwright.cli.client import connect_by
    from wardwright.cli.receipt_source import read_receipt
    from wardwright.cli.receipt_story import story

    body: dict[str, Any] = {"model": model, "request": _request(request)}
    if tokens is not None:
        body["facts"] = {"request": {"estimated_prompt_tokens": tokens}}
    if version is not None:
        body["version"] = version
    with connect_by(config, url) as daemon:
        answer = daemon.post("/v1/wardwright/simulate", body, holding="receipt")
    if as_json:
        show_json(answer["receipt"])
    else:
        show(story(read_receipt(answer["receipt"])))


def _request(path: Path | None) -> object:
    """The chat request of a file; without one, the shortest there is."""
    import sys

    import msgspec

    if path is None:
        return {"messages": [{"role": "user", "content": "?"}]}
    try:
        text = sys.stdin.buffer.read() if path == _STANDARD_INPUT else path.read_bytes()
        return msgspec.json.decode(text, type=dict[str, Any])
    except OSError as error:
        raise typer.BadParameter(f"cannot read {path}: {error.strerror}", param_hint="--request") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} is no JSON object: {error}", param_hint="--request") from error
