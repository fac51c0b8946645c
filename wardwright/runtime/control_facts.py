"""What watchers are told of operators' decisions."""

from wardwright.domain import control
from wardwright.runtime import visible
from wardwright.runtime.visible import Fact


def fact_of(event: control.ControlEvent) -> Fact:
    """The fact in a decision; neither an artifact nor what proves a key. Purity: pure."""
    match event:
        case control.VersionAdded():
            return visible.VersionAdded(model_id=event.model_id, version=event.version, source=event.source)
        case control.Published():
            return visible.VersionPublished(model_id=event.model_id, version=event.version, source=event.source)
        case control.CanarySet():
            return visible.CanarySet(model_id=event.model_id, version=event.version, percent=event.percent)
        case control.CanaryEnded():
            return visible.CanaryEnded(model_id=event.model_id)
        case control.RolledBack():
            return visible.VersionRolledBack(model_id=event.model_id, version=event.version, undone=event.undone)
        case control.ModelRetired():
            return visible.ModelRetired(model_id=event.model_id, source=event.source)
        case control.KeyCreated():
            return visible.KeyCreated(key_id=event.key_id, model_id=event.model_id, label=event.label)
        case control.KeyRevoked():
            return visible.KeyRevoked(key_id=event.key_id)
