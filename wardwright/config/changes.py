"""What another configuration changes beside the models: which keys wait for the next start, and which providers come, change or go."""

from collections.abc import Sequence

import msgspec

from wardwright.config.problems import below
from wardwright.config.settings import ProviderSettings, Settings

_BOUND_AT_START = ("server", "runtime", "storage")


class ProviderChanges(msgspec.Struct, frozen=True):
    """Providers by id, as one configuration has them and another does not."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


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
