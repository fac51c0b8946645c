"""What each kind of selector does with a request: which targets it offers, in which order.

A dispatcher takes the smallest context window that fits, a cascade the first in its declared order. Selectors nest: a member
that is itself a selector offers its own ordered targets as one block, and an outer selector never reorders inside a block. A
dispatcher places such a block by the smallest fitting window the block can offer, as if it were a target of that size. A
target that is reachable by several ways counts where it comes first.

A target is offered iff it fits: its context window holds the estimated prompt and the reserved answer together, and it has
every needed capability. Health, sticky choice and constraints of policies will narrow the same test.
"""

from collections.abc import Iterable, Mapping

import msgspec

from wardwright.domain.route import Dispatcher, RequestFacts, Selector, Skip, Target


class Offer(msgspec.Struct, frozen=True):
    """The targets that a node of the graph offers in order, and the selectors that led to the first of them."""

    targets: tuple[Target, ...]
    path: tuple[str, ...] = ()

    @property
    def smallest_window(self) -> int:
        """The window by which a dispatcher places this offer among others."""
        return min(target.context_window for target in self.targets)


def unfit(target: Target, facts: RequestFacts) -> Skip | None:
    """Decide whether a target cannot serve a request, and why; None means that it can. Purity: pure.

    A missing capability is named before a small window: it is a fact of the target, the window is judged by an estimate.
    """
    missing = [] if target.capabilities is None else [need for need in facts.needs if need not in target.capabilities]
    if missing:
        return Skip(target.id, "capability_missing", target.context_window, ", ".join(missing))
    if target.context_window < facts.window_needed_at(target):
        return Skip(target.id, "context_window_too_small", target.context_window)
    return None


def select(root: str, selectors: Mapping[str, Selector], targets: Mapping[str, Target], facts: RequestFacts) -> Offer:
    """Order the fitting targets of a sound graph, beginning at `root`. Purity: pure."""
    offers: dict[str, Offer] = {}

    def offer_of(name: str) -> Offer:
        if name not in offers:
            offers[name] = _offer_of_selector(name) if name in selectors else _offer_of_target(targets[name], facts)
        return offers[name]

    def _offer_of_selector(name: str) -> Offer:
        selector = selectors[name]
        members = [(member, offer_of(member)) for member in selector.models]
        fitting = [(member, offer) for member, offer in members if offer.targets]
        if isinstance(selector, Dispatcher):
            fitting.sort(key=lambda entry: (entry[1].smallest_window, entry[0]))
        first_path = fitting[0][1].path if fitting else ()
        return Offer(_once_each(offer for _, offer in fitting), (name, *first_path))

    return offer_of(root)


def _offer_of_target(target: Target, facts: RequestFacts) -> Offer:
    return Offer((target,) if unfit(target, facts) is None else ())


def _once_each(offers: Iterable[Offer]) -> tuple[Target, ...]:
    return tuple({target.id: target for offer in offers for target in offer.targets}.values())
