"""Decisions without consequences: what would be decided on a request, and whether a past decision would be made again.

Both take the path of live requests, from the facts on; only nobody is called, and nothing is counted, kept or told to anyone.
"""

import hashlib
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec

from wardwright.domain.caller import Caller
from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import NotFound
from wardwright.domain.route import MODEL_PREFIX, Composition, PlanInputs
from wardwright.planner.compiled import compiled
from wardwright.planner.composition import compose
from wardwright.planner.supplied import SuppliedFacts
from wardwright.receipts.chain import Chain
from wardwright.receipts.erasure import commitment_in
from wardwright.receipts.events import Closed, Decision, Opened, decode_entry
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.runtime.catalog_board import CatalogBoard, Route
from wardwright.runtime.decision import Decided, decide, refusal_of
from wardwright.runtime.facts import FactFinder, caller_facts, tags_asked_for
from wardwright.runtime.identity import mint_receipt_id
from wardwright.runtime.opening import Opening
from wardwright.runtime.output_book import OutputBook
from wardwright.runtime.sessions import Sessions
from wardwright.runtime.versions import Versions

_SEED_BITS = 53


class Difference(msgspec.Struct, frozen=True):
    """A field of the decision that came out otherwise."""

    field: str
    recorded: Any
    recomputed: Any


class Replay(msgspec.Struct, frozen=True):
    """A past decision beside the one that its recorded facts lead to now. `versions` are those it was decided under now."""

    receipt_id: str
    identical: bool
    versions: dict[str, str]
    recorded: Decision
    recomputed: Decision
    differences: tuple[Difference, ...]


class DecisionDesk:
    """Simulates and replays. For the one event loop's use."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        board: CatalogBoard,
        versions: Versions,
        facts: FactFinder,
        opening: Opening,
        now: Callable[[], float] = time.time,
        draw: Callable[[int], int] = random.randrange,
    ) -> None:
        self._sessions = sessions
        self._board = board
        self._versions = versions
        self._facts = facts
        self._opening = opening
        self._now = now
        self._draw = draw

    async def simulate(
        self,
        request: ChatRequest,
        *,
        caller: Caller,
        request_id: str,
        version: str | None = None,
        supplied: SuppliedFacts | None = None,
    ) -> Receipt:
        """Decide a request as if it had come now, or under a version of the model, with facts that are supplied or as they are.

        Raises: UnknownModel, NotFound for an unknown version, NoTargetAvailable for a broken model, ConfigError when this release
            cannot read the version, RequestError for a form of the answer that cannot be enforced.
        """
        supplied = supplied or SuppliedFacts()
        route = self._route(request.model, caller, version)
        session_id = None if caller.session_id is None else caller.session_id.value
        session = await self._sessions.peek(route.composition.root.id, session_id)
        gathered = await self._facts.gather(route.composition, request, caller, session)
        actions = gathered.actions if supplied.constraints is msgspec.UNSET else ()
        decided = decide(route.composition, supplied.over(gathered.inputs), actions)
        opened = self._opening.of(
            request,
            route=route,
            decided=decided,
            caller=caller,
            request_id=request_id,
            output=OutputBook(route.composition, request).summary,
        )
        return self._receipt(msgspec.structs.replace(opened, simulation=True), decided)

    def replay(self, receipt: Receipt, version: str | None = None) -> Replay:
        """Decide again from a receipt's facts, under the versions it names, or with another version of its model.

        The rules of another version cannot be tried: the receipt has no text to try them on. What the recorded rules demanded stands.

        Raises: NotFound for a version that is not known, or a caller who was erased and counts; ConfigError when this release cannot
            read the version.
        """
        recorded = receipt.decision
        if commitment_in(recorded.facts.caller) is not None:
            raise _caller_is_erased(receipt)
        if version is None:
            composition, inputs = self._as_recorded(receipt), recorded.facts
        else:
            composition = self._with_version(receipt, version)
            inputs = _under_other_guards(receipt, composition)
        recomputed = decide(composition, inputs, recorded.policy_actions).recorded
        differences = _differences(recorded, recomputed, with_facts=version is None)
        return Replay(
            receipt_id=receipt.receipt_id,
            identical=not differences,
            versions=composition.versions,
            recorded=recorded,
            recomputed=recomputed,
            differences=differences,
        )

    def _route(self, name: str, caller: Caller, version: str | None) -> Route:
        if version is None:
            session_id = None if caller.session_id is None else caller.session_id.value
            return self._board.route(name, session_id, self._draw, for_operator=True)
        definition = self._versions.definition(name.removeprefix(MODEL_PREFIX), version)
        return Route(compose(definition, self._board.definitions()))

    def _receipt(self, opened: Opened, decided: Decided) -> Receipt:
        """The receipt that would be written, folded from entries as any other."""
        closed = Closed("simulated", 0)
        if not decided.plan.targets:
            status, error = refusal_of(decided.plan, decided.inputs.request)
            closed = Closed(status, 0, error_code=error.code, error_message=error.message)
        chain = Chain(mint_receipt_id())
        return fold([decode_entry(chain.seal(event, self._now())) for event in (opened, closed)])

    def _as_recorded(self, receipt: Receipt) -> Composition:
        versions = dict(receipt.decision.facts.versions)
        root = self._versions.definition(receipt.model_id, versions.pop(receipt.model_id, receipt.model_version))
        nested = {name: self._versions.definition(name, version) for name, version in versions.items()}
        return Composition(root, nested)

    def _with_version(self, receipt: Receipt, version: str) -> Composition:
        """Another version of the model, above the versions that were recorded, and above active ones where there are none."""
        root = self._versions.definition(receipt.model_id, version)
        recorded = self._as_recorded(receipt).nested
        return compose(root, {**self._board.definitions(), **recorded})


def _under_other_guards(receipt: Receipt, composition: Composition) -> PlanInputs:
    """The recorded facts, with what only the other version looks at taken from the rest of the receipt."""
    facts, route = receipt.decision.facts, compiled(composition)
    if route.caller_fields and receipt.caller.erased is not None:
        raise _caller_is_erased(receipt)
    return msgspec.structs.replace(
        facts,
        caller=caller_facts(receipt.caller, route.caller_fields),
        caller_tags=tags_asked_for(receipt.caller, route.caller_tags),
        # The receipt's id is as random as a draw: it stands in for the one that nobody made.
        seed=_seed_from(receipt.receipt_id) if route.draws and not facts.seed else facts.seed,
    )


def _caller_is_erased(receipt: Receipt) -> NotFound:
    return NotFound(f"a guard looks at the caller, who was erased from {receipt.receipt_id}", "caller_erased")


def _seed_from(receipt_id: str) -> int:
    return int.from_bytes(hashlib.sha256(receipt_id.encode()).digest()[:8], "big") >> (64 - _SEED_BITS)


def _differences(recorded: Decision, recomputed: Decision, *, with_facts: bool) -> tuple[Difference, ...]:
    """The fields that are not the same, byte for byte as a receipt has them."""
    before, after = (msgspec.json.decode(msgspec.json.encode(decision)) for decision in (recorded, recomputed))
    names = dict.fromkeys([*before, *after])
    return tuple(
        Difference(name, before.get(name), after.get(name))
        for name in names
        if (with_facts or name != "facts") and before.get(name) != after.get(name)
    )
