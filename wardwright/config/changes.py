"""What another configuration changes beside the models: which keys wait for the next start, which providers come, change or go.

And which of its files have been emptied, so that it may not be one yet.
"""

from collections.abc import Sequence

import msgspec

from wardwright.config.load import Loaded
from wardwright.config.problems import Problem, below
from wardwright.config.settings import ProviderSettings, Settings

_EMPTIED = "expected a configuration, got an empty file, as if it were about to be written; if it is meant, put a comment in it"
_BOUND_AT_START = ("server", "runtime", "storage")


class ProviderChanges(msgspec.Struct, frozen=True):
    """Providers by id, as one configuration has them and another does not."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def files_emptied(running: Loaded, wanted: Loaded) -> list[Problem]:
    """Name the files that have been emptied since. Purity: pure.

    So looks a file that somebody is about to write, and it is not to be taken at its word: it would take every model out of service.
    """
    emptied = (file for file in wanted.empty_files if file not in running.empty_files)
    return [Problem("", _EMPTIED, file) for file in emptied]


def keys_waiting(running: Settings, wanted: Settings) -> list[str]:
    """Name the keys whose new value a running daemon cannot take on. Purity: pure."""
    return [
        below(table, key)
        for table in _BOUND_AT_START
        for key in getattr(wanted, table).__struct_fields__
        if getattr(getattr(running, table), key) != getattr(getattr(wanted, table), key)
    ]


def provider_changes(before: Sequence[ProviderSettings], after: Sequence[ProviderSettings]) -> ProviderChanges:
    """Compare the providers of two configurations. Purity: pure."""
    old, new = ({provider.id: provider for provider in providers} for providers in (before, after))
    return ProviderChanges(
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
        removed=tuple(name for name in old if name not in new),
    )
