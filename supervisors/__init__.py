"""Actors and supervision trees on anyio, in the manner of Erlang/OTP.

    @dataclass(frozen=True, slots=True)
    class Add(Call[int]):
        amount: int

    class Counter(Actor):
        def __init__(self) -> None:
            self.total = 0

        async def handle_call(self, request: Add, reply_to: ReplyTo[int]) -> int:
            self.total += request.amount
            return self.total

    async def main() -> None:
        async with System("app", Supervisor([ChildSpec("counter", Counter)])) as system:
            print(await system.named("app/counter").call(Add(2)))

    anyio.run(main)

Everything public is in this list; modules with a leading underscore are not.
"""

from supervisors._actor import Actor, Continue, Ignore, Passivate, Stop
from supervisors._admin import (
    ChildStatus,
    count_children,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors._adopt import adopt
from supervisors._backoff import Backoff, Pause
from supervisors._call import NO_REPLY, Call, ReplyTo
from supervisors._child_spec import ChildSpec, Mailbox, child_id_in, child_path
from supervisors._dynamic import DynamicSupervisor
from supervisors._host import Helper
from supervisors._link import Exit
from supervisors._locks import Lock
from supervisors._mail import Timeout
from supervisors._monitor import Down, MonitorRef
from supervisors._names import Registered, Registration, Unregistered
from supervisors._pubsub import PubSub, Subscription
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef, NamedRef
from supervisors._supervisor import Supervisor
from supervisors._system import Callback, System, Timer
from supervisors.events import (
    ChildInfo,
    CrashReport,
    DeadLetter,
    DeadLetters,
    Event,
    Neighbour,
    Progress,
    RestartDelayed,
    RestartsPaused,
    RestartsResumed,
    SupervisorReport,
    Traced,
    UnexpectedMessage,
    Unstopped,
    log_event,
)
from supervisors.exceptions import (
    ActorDown,
    ActorKilled,
    AlreadyPresent,
    AlreadyStarted,
    BackoffExhausted,
    BadReturnValue,
    CallCycle,
    CallingSelf,
    CallTimeout,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ForeignCancellation,
    InvalidChildSpec,
    LockTimeout,
    MailboxFull,
    NoMailbox,
    NotRunning,
    NotTheHolder,
    RestartLimitReached,
    StartFailed,
    StartIgnored,
    StartTimeout,
    SupervisorError,
    TooManyChildren,
    UnexpectedRequest,
)
from supervisors.inspect import ActorInfo, ActorStatus, ChildCounts, Statistics, TreeNode

__all__ = [
    "NO_REPLY",
    "Actor",
    "ActorDown",
    "ActorInfo",
    "ActorKilled",
    "ActorRef",
    "ActorStatus",
    "AlreadyPresent",
    "AlreadyStarted",
    "Backoff",
    "BackoffExhausted",
    "BadReturnValue",
    "Call",
    "CallCycle",
    "CallTimeout",
    "Callback",
    "CallingSelf",
    "ChildCounts",
    "ChildInfo",
    "ChildNotFound",
    "ChildRestarting",
    "ChildRunning",
    "ChildSpec",
    "ChildStatus",
    "Continue",
    "CrashReport",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "DynamicSupervisor",
    "Event",
    "Exit",
    "ExitReason",
    "ForeignCancellation",
    "Helper",
    "Ignore",
    "InvalidChildSpec",
    "Lock",
    "LockTimeout",
    "Mailbox",
    "MailboxFull",
    "MonitorRef",
    "NamedRef",
    "Neighbour",
    "NoMailbox",
    "NotRunning",
    "NotTheHolder",
    "Passivate",
    "Pause",
    "Progress",
    "PubSub",
    "Registered",
    "Registration",
    "ReplyTo",
    "RestartDelayed",
    "RestartLimitReached",
    "RestartsPaused",
    "RestartsResumed",
    "StartFailed",
    "StartIgnored",
    "StartTimeout",
    "Statistics",
    "Stop",
    "Subscription",
    "Supervisor",
    "SupervisorError",
    "SupervisorReport",
    "System",
    "Timeout",
    "Timer",
    "TooManyChildren",
    "Traced",
    "TreeNode",
    "UnexpectedMessage",
    "UnexpectedRequest",
    "Unregistered",
    "Unstopped",
    "adopt",
    "child_id_in",
    "child_path",
    "count_children",
    "delete_child",
    "log_event",
    "restart_child",
    "start_child",
    "terminate_child",
    "which_children",
]
