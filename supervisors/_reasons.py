"""How a member of the tree ended, and whether that calls for a restart.

Pure: values in, values out. Two classes of reason matter to a supervisor. The *normal* class (normal, shutdown,
shutdown with a detail) is an end somebody meant; everything else, a kill included, is a fault.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

ExitKind: TypeAlias = Literal["normal", "shutdown", "killed", "crashed", "noproc"]
Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
Shutdown: TypeAlias = float | Literal["brutal_kill", "infinity"]

_LONGEST_DETAIL = 200


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why an incarnation is gone: a kind, and what the kind needs to be understood.

    Attributes:
        kind: `normal` and `shutdown` are ends somebody meant; `crashed` and `killed` are not; `noproc` says that there
            was nobody to begin with.
        error: the exception, if it crashed. Its text is shortened when the reason is printed.
        detail: what led to a `shutdown`.
    """

    kind: ExitKind
    error: BaseException | None = None
    detail: object = None

    NORMAL: ClassVar["ExitReason"]
    SHUTDOWN: ClassVar["ExitReason"]
    KILLED: ClassVar["ExitReason"]
    NOPROC: ClassVar["ExitReason"]

    @classmethod
    def crashed(cls, error: BaseException) -> "ExitReason":
        """Name the exception which ended the member."""
        return cls("crashed", error=error)

    @classmethod
    def shutdown(cls, detail: object) -> "ExitReason":
        """Name an orderly end together with what led to it."""
        return cls("shutdown", detail=detail)

    @property
    def is_normal(self) -> bool:
        """Whether somebody meant this end: no crash report, and no restart of a transient child."""
        return self.kind in ("normal", "shutdown")

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.kind}: {_described(self.error)}"
        if self.detail is not None:
            return f"{self.kind}: {_shortened(str(self.detail))}"
        return self.kind


ExitReason.NORMAL = ExitReason("normal")
ExitReason.SHUTDOWN = ExitReason("shutdown")
ExitReason.KILLED = ExitReason("killed")
ExitReason.NOPROC = ExitReason("noproc")


def should_restart(restart: Restart, reason: ExitReason) -> bool:
    """Decide whether a child of this restart kind comes back after this end."""
    if restart == "permanent":
        return True
    return restart == "transient" and not reason.is_normal


def is_expected_exit(shutdown: Shutdown, restart: Restart, reason: ExitReason) -> bool:
    """Tell whether a child which its supervisor was stopping ended as it was asked to.

    An end of its own accord in the normal class is no surprise either, unless the child is permanent: that one was
    never to end by itself.
    """
    asked_for = "killed" if shutdown == "brutal_kill" else "shutdown"
    if reason.kind == asked_for:
        return True
    return restart != "permanent" and reason.is_normal


def _described(error: BaseException) -> str:
    text = _shortened(str(error))
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"
