"""What the configuration file has to say to the catalog: the decisions that follow from it, given what was decided before.

The last word on a model counts, whoever spoke it. The file speaks when its model changes: when a model appears in it, when what
defines it (targets included) becomes another, when it is taken out. An unchanged file says nothing, neither at a reload nor at a
start, so it never takes back what was published through the admin API since.
"""

from collections.abc import Iterator

import msgspec

from wardwright.config.artifact import Defined, define, encode_artifact
from wardwright.config.load import Loaded
from wardwright.config.problems import Problem, below, shown
from wardwright.domain.control import ControlEvent, ModelRetired, Published, Source, VersionAdded
from wardwright.domain.control_state import ControlState, ModelHistory


class FilesWord(msgspec.Struct, frozen=True):
    """What follows from a configuration: the decisions, or the problems that keep it from being followed."""

    events: tuple[ControlEvent, ...]
    problems: tuple[Problem, ...]

    @property
    def published(self) -> dict[str, str]:
        """The models that it publishes, and their versions."""
        return {event.model_id: event.version for event in self.events if isinstance(event, Published)}

    @property
    def retired(self) -> list[str]:
        """The models that it takes out."""
        return [event.model_id for event in self.events if isinstance(event, ModelRetired)]


def files_word(loaded: Loaded, state: ControlState) -> FilesWord:
    """Compare a configuration with what was decided before. Purity: pure."""
    events: list[ControlEvent] = []
    problems: list[Problem] = []
    for model in loaded.settings.models:
        defined = define(model, loaded.settings.targets)
        history = state.models.get(model.id) or ModelHistory(model.id)
        found = list(_label_problems(defined, history))
        problems += found
        if not found:
            events += _publication(defined, history)
    declared = {model.id for model in loaded.settings.models}
    gone = (history for history in state.models.values() if history.file_version is not None)
    events += [ModelRetired(history.model_id, "file") for history in gone if history.model_id not in declared]
    return FilesWord(tuple(events), tuple(problems))


def version_event(defined: Defined, source: Source) -> VersionAdded:
    """The fact that a version exists. Purity: pure."""
    definition = defined.definition
    return VersionAdded(definition.id, definition.version, defined.content, source, encode_artifact(defined.artifact))


def _publication(defined: Defined, history: ModelHistory) -> Iterator[ControlEvent]:
    definition = defined.definition
    if history.file_version == definition.version:
        return
    if definition.version not in history.versions:
        yield version_event(defined, "file")
    yield Published(definition.id, definition.version, "file")


def _label_problems(defined: Defined, history: ModelHistory) -> Iterator[Problem]:
    label = defined.definition.version
    known = history.versions.get(label)
    if known is not None and known.content != defined.content:
        message = (
            f"expected a version that names this content, got {shown(label)}, which already names another ({known.content}; "
            f"this is {defined.content}): state another version, or none to have it named by its content"
        )
        yield Problem(below(below("models", defined.definition.id), "version"), message)
