"""What a person reads when the daemon is ready: where it is, what it serves, and commands that work in another terminal as they stand."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import wardwright
from wardwright.config.address import parse_bind
from wardwright.config.load import BIND_VARIABLE, CONFIG_VARIABLE, EMBEDDED_SOURCE, find_config, load_config
from wardwright.config.problems import ConfigError


@dataclass(frozen=True, slots=True)
class Announcement:
    """A daemon that is ready. `demo` are the providers that only demonstrate, `reach` is the option by which commands find it."""

    url: str
    models: Sequence[str]
    receipts: str
    source: str
    took_s: float
    demo: Sequence[str] = ()
    command: str = "wardwright"
    reach: str = ""

    def __str__(self) -> str:
        lines = [
            f"Wardwright {wardwright.__version__} is ready at {self.url} ({self.took_s} s, {self.source})",
            "",
            f"models    {', '.join(self.models) or 'none configured'}",
            f"receipts  {self.receipts}",
        ]
        if self.demo:
            lines.append(f"demo      {self._demonstration()}")
        lines.append("")
        if self.models:
            asked = f'{{"model": "{self.models[0]}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'
            lines += [
                f"try it    curl {self.url}/v1/chat/completions -H 'content-type: application/json' \\",
                f"            -d '{asked}'",
            ]
        lines.append(f"look      {self.command} receipts list{self.reach}")
        lines.append(f"          {self.command} actors tree{self.reach}")
        lines.append("stop      Ctrl-C")
        return "\n" + "".join(f"  {line}\n" if line else "\n" for line in lines) + "\n"

    def _demonstration(self) -> str:
        if self.source == EMBEDDED_SOURCE:
            return f"canned answers: no language model is here; `{self.command} models pull` fetches one for the next start"
        return f"canned answers, no language model: {', '.join(self.demo)}"


def own_command(called: str = sys.argv[0]) -> str:
    """How the person at this terminal calls this program: by name when the shell would find it, by the path used now otherwise."""
    name = Path(called).name
    return name if shutil.which(name) else called


def option_to_reach(url: str, host: str, port: int, environ: Mapping[str, str], folder: Path) -> str:
    """The option by which commands find a daemon from a fresh terminal in this folder; empty where they find it by themselves."""
    bare = {name: value for name, value in environ.items() if name not in (BIND_VARIABLE, CONFIG_VARIABLE)}
    try:
        found = parse_bind(load_config(find_config(None, bare, folder), bare).settings.server.bind)
    except ConfigError:
        found = None
    is_there = found is not None and (found.host, found.port) == (host, port)
    return "" if is_there else f" --url {url}"
