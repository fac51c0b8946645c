"""Who asked. Every field of a caller carries where it was learned, so that a receipt can be trusted accordingly."""

from typing import Literal

import msgspec

Source = Literal["trusted_auth", "header", "body_metadata", "provider_key", "derived_anonymous"]


class Attributed(msgspec.Struct, frozen=True):
    """A caller fact and where it came from."""

    value: str
    source: Source


class Caller(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who asked, field by field; an absent field is a fact nobody stated.

    `erased` is all that is left of a caller that was erased from a receipt: a commitment to what was there, see `receipts.erasure`.
    """

    tenant_id: Attributed | None = None
    application_id: Attributed | None = None
    consuming_agent_id: Attributed | None = None
    consuming_user_id: Attributed | None = None
    session_id: Attributed | None = None
    run_id: Attributed | None = None
    client_request_id: Attributed | None = None
    anonymous_id: Attributed | None = None
    tags: tuple[str, ...] = ()
    erased: str | None = None
