"""The configuration that is followed, and what operators are told when another one comes."""

import structlog

from wardwright.config.changes import keys_waiting, provider_changes
from wardwright.config.load import Loaded
from wardwright.config.problems import ConfigError
from wardwright.config.settings import Settings
from wardwright.runtime.catalog_file import FilesWord
from wardwright.runtime.visible import ConfigFollowed, ConfigRefused, Tell, tell_nobody

_MOST_PROBLEMS_TOLD = 20
_CHANGES = ("published", "retired", "providers_added", "providers_changed", "providers_removed")

_log = structlog.get_logger("wardwright.catalog")


class ConfigBoard:
    """The configuration that is followed. Written by the catalog alone; it outlives it, since a reload must outlive a crash.

    `started` are the settings of the daemon's start: what is bound then stays as it was.
    """

    def __init__(self, loaded: Loaded, tell: Tell = tell_nobody) -> None:
        self.loaded = loaded
        self.started = loaded.settings
        self._tell = tell

    def say_followed(self, before: Settings, word: FilesWord) -> None:
        """Log and make visible what the configuration has changed, and what it could not; no change is not worth a word."""
        loaded = self.loaded
        if loaded.settings == before and not word.events:
            return
        changes = provider_changes(before.providers, loaded.settings.providers)
        for warning in loaded.warnings:
            _log.warning(str(warning))
        waiting = keys_waiting(self.started, loaded.settings)
        fact = ConfigFollowed(
            source=loaded.source,
            published=tuple(f"{name} {version}" for name, version in word.published.items()),
            retired=tuple(word.retired),
            providers_added=tuple(changes.added),
            providers_changed=tuple(changes.changed),
            providers_removed=tuple(changes.removed),
            at_next_start=tuple(waiting),
        )
        told = {key: getattr(fact, key) for key in _CHANGES}
        shown = {key: list(names) for key, names in told.items() if names}
        _log.info("the configuration is followed", source=loaded.source, **shown)
        if waiting:
            _log.warning("these keys take effect at the next start", keys=waiting)
        self._tell(fact)

    def say_refused(self, error: ConfigError) -> None:
        """Log and make visible why a configuration is not followed."""
        _log.error("the configuration has problems, so the one that runs stays", source=error.source)
        problems = [str(problem) for problem in error.problems]
        for problem in problems:
            _log.error("a problem of the configuration", problem=problem)
        first = tuple(problems[:_MOST_PROBLEMS_TOLD])
        self._tell(ConfigRefused(source=error.source, problems=first, problem_count=len(problems)))
