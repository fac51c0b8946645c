"""A recorder of events."""

from typing import TypeVar

from supervisors.events import Event

EventT = TypeVar("EventT")


class EventLog:
    """An observer which keeps every event: `System(..., on_event=log)`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    def __len__(self) -> int:
        return len(self.events)

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Pick the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def clear(self) -> None:
        """Forget what happened so far."""
        self.events.clear()
