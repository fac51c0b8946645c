"""Providers that are stated inside a model artifact instead of in the configuration: scripts for tests, which ask no model."""

from collections.abc import Mapping

import msgspec

from wardwright.config.settings import ProviderBase


class MockSettings(ProviderBase, frozen=True, kw_only=True, tag="mock"):
    """A provider that says where a request was routed, and nothing else."""


class Script(msgspec.Struct, frozen=True):
    """What one model of a scripted provider answers, by the number of the call within one request.

    A whole answer is the call's output, or the last one. A streamed one is the call's chunks, or the chunks of every call, or the
    call's output as one chunk. `stream_error` breaks a stream after its chunks; the delay comes before an output and every chunk.
    """

    outputs: tuple[str, ...] = ()
    stream_chunks: tuple[str, ...] | None = None
    attempt_chunks: tuple[tuple[str, ...], ...] = ()
    stream_error: str | None = None
    delay_ms: float = 0.0


class SequenceSettings(ProviderBase, frozen=True, kw_only=True, tag="canned_sequence"):
    """A provider that answers from scripts, by upstream model."""

    scripts: Mapping[str, Script]
