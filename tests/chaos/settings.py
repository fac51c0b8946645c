"""What the daemons that are killed run on: a kind of storage, an event loop, and what is done beside answering."""

from typing import NamedTuple

_CONFIG = """
[runtime]
backend = "{backend}"

[storage]
kind = "{kind}"
{retention}

[[providers]]
id = "quick"
kind = "canned"
outputs = ["a short answer"]

[[providers]]
id = "paced"
kind = "canned"
outputs = ["an answer of a few words that come one by one"]
chunk_delay_ms = 15

[[targets]]
id = "quick/a"
provider = "quick"
context_window = 8192

[[targets]]
id = "paced/a"
provider = "paced"
context_window = 8192

[[models]]
id = "quick"
[[models.dispatchers]]
id = "one"
models = ["quick/a"]

[[models]]
id = "paced"
[[models.dispatchers]]
id = "one"
models = ["paced/a"]
"""


class Setting(NamedTuple):
    """What a line of daemons runs on, one or two at a time. One that forgets no receipt lets their events fade."""

    kind: str
    backend: str
    forgets: bool = False
    sends: bool = False
    is_shared: bool = False

    @property
    def config(self) -> str:
        """As a file, without its sinks. Where these are compared with the log, its events do not fade."""
        retention = f"retention = {{ {'receipts_days' if self.forgets else 'events_days'} = 1 }}"
        if self.sends and not self.forgets:
            retention = ""
        return _CONFIG.format(backend=self.backend, kind=self.kind, retention=retention)

    def __str__(self) -> str:
        more = ", forgetting" * self.forgets + ", sending on" * self.sends + ", shared by two" * self.is_shared
        return f"{self.kind} on {self.backend}{more}"


SETTINGS = (
    Setting("file", "asyncio"),
    Setting("file", "trio", forgets=True, sends=True),
    Setting("postgres", "trio", is_shared=True),
    Setting("sqlite", "asyncio", sends=True),
    Setting("file", "asyncio", sends=True),
    Setting("sqlite", "trio", forgets=True),
    Setting("postgres", "asyncio", sends=True),
    Setting("file", "trio"),
    Setting("file", "asyncio", forgets=True),
    Setting("sqlite", "asyncio"),
    Setting("postgres", "trio", forgets=True),
)
KINDS = tuple(dict.fromkeys(setting.kind for setting in SETTINGS))
"""The kinds of storage that there are settings of."""
