"""The values that keys of several kinds of tables take, and what every table is."""

from typing import Annotated

import msgspec
from msgspec import Meta

_PRIVATE = {"private": True}

Seconds = Annotated[float, Meta(gt=0, le=1e6, description="a positive number of seconds")]
Text = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
VariableName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        description="the name of an environment variable, never the secret itself",
        extra=_PRIVATE,
    ),
]
Url = Annotated[str, Meta(min_length=1, description="an http or https URL", extra=_PRIVATE)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: keys by name, no others."""
