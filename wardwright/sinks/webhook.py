"""The sink `webhook`: batches of records by POST, signed as the Standard Webhooks specification has it.

A batch that is sent again has the same `webhook-id`, which is made of its keys, so that a receiver may go by ids of batches as well as by
keys of records. Of what the receiver says it will never take (400, 413, 422) half as much is sent, down to the single record that it means, and
then more and more again. How far this has come is remembered until the batch is through, so that every request settles something, also for a
receiver that takes so long over each that a batch takes several attempts.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence

import msgspec

from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable
from wardwright.sinks.far_side import FarSide

_REQUESTS = 6  # whose time a batch may take, however many it is sent in
_SECRET = "whsec_"  # noqa: S105 - how a secret in base64 begins


class _Item(msgspec.Struct, frozen=True):
    key: str
    position: int
    record: msgspec.Raw


class _Body(msgspec.Struct, frozen=True):
    type: str
    data: Sequence[_Item]


class WebhookSink:
    """A receiver of webhooks. `secrets` gives those to sign with, none where batches are not signed; `now` gives Unix seconds."""

    kind = "webhook"

    def __init__(
        self, far_side: FarSide, *, unit: Unit, secrets: Callable[[], Sequence[bytes]], now: Callable[[], float]
    ) -> None:
        self.unit = unit
        self._far_side = far_side
        self._read_secrets = secrets
        self._now = now
        self._secrets: Sequence[bytes] = ()
        self._settled: dict[str, str | None] = {}
        """Of the batch under way: what was taken, and why the others were not."""
        self._most: int | None = None
        """How many records of it may be sent together; None when nothing was refused."""

    @property
    def where(self) -> str:
        """The receiver's address, without its path, which may be a secret."""
        return self._far_side.where

    def open(self) -> None:
        """Make ready. Raises: SinkUnavailable."""
        self._secrets = self._read_secrets()
        self._far_side.open()

    def deliver(self, records: Sequence[Record]) -> None:
        """Send the records, in one request unless some are refused. Raises: SinkUnavailable, SinkRefused."""
        self._far_side.allow(_REQUESTS)
        rest = [record for record in records if record.key not in self._settled]
        while rest:
            rest = rest[self._send(rest[: self._most]) :]
        keys, settled = {record.key for record in records}, self._settled
        self._settled, self._most = {}, None
        reasons = {key: reason for key, reason in settled.items() if reason is not None and key in keys}
        if reasons:
            raise SinkRefused(reasons)

    def close(self) -> None:
        """Let go of the connection."""
        self._far_side.close()

    def _send(self, records: Sequence[Record]) -> int:
        """Send records together; tell how many of them are settled by the answer. Raises: SinkUnavailable."""
        body, batch_id = _body(self.unit, records), _batch_id(records)
        answer = self._far_side.post("", body, self._headers(batch_id, body))
        if not answer.is_success and len(records) > 1:
            self._most = len(records) // 2
            return 0
        reason = None if answer.is_success else f"the receiver answers HTTP {answer.status}"
        self._settled.update((record.key, reason) for record in records)
        self._most = self._most and self._most * 2
        return len(records)

    def _headers(self, batch_id: str, body: bytes) -> Mapping[str, str]:
        at = int(self._now())
        headers = {"content-type": "application/json", "webhook-id": batch_id, "webhook-timestamp": str(at)}
        if self._secrets:
            headers["webhook-signature"] = " ".join(sign(secret, batch_id, at, body) for secret in self._secrets)
        return headers


def sign(secret: bytes, batch_id: str, at: int, body: bytes) -> str:
    """The signature of a webhook, version 1. Purity: pure."""
    digest = hmac.digest(secret, b"%b.%d.%b" % (batch_id.encode(), at, body), "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def parse_secrets(text: str, where: str) -> list[bytes]:
    """The secrets in a variable's text: one, or several with spaces between them, while they are changed.

    One that begins with `whsec_` is base64, any other is taken as it stands. Raises: SinkUnavailable.
    """
    try:
        secrets = [
            base64.b64decode(each.removeprefix(_SECRET), validate=True) if each.startswith(_SECRET) else each.encode()
            for each in text.split()
        ]
    except binascii.Error as error:
        raise SinkUnavailable(f"a secret for {where} begins with {_SECRET} and is not base64") from error
    if not secrets or not all(secrets):
        raise SinkUnavailable(f"the secret for {where} is empty")
    return secrets


def _body(unit: Unit, records: Sequence[Record]) -> bytes:
    items = [_Item(record.key, record.position, msgspec.Raw(record.body)) for record in records]
    return msgspec.json.encode(_Body(f"wardwright.{unit}", items))


def _batch_id(records: Sequence[Record]) -> str:
    digest = hashlib.sha256("\n".join(record.key for record in records).encode())
    return f"batch_{digest.hexdigest()[:32]}"
