"""The sink `kafka`: records as messages of a topic, each with its receipt's id as the message's key and its own in a header.

All messages of a receipt are in one partition. A batch goes out in waves that have no receipt twice, and each is done when all replicas in
sync have it. The producer is idempotent: what it sends again by itself is stored once. What a sink is handed again is stored again,
under the same `wardwright-key`.
"""

import logging
import ssl
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable
from wardwright.sinks.tls import REFUSES_OURS, TlsFiles, context_of
from wardwright.sinks.waves import waves_of

_REFUSED = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_RECORD)
_LATE = (KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError._TRANSPORT)
_HOPELESS = {KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION}
# In words of the library for a far side that hangs up, or says in the language of TLS that it will not have us.
_HUNG_UP = ("Disconnected", "Broker transport failure", "reset by peer", "Broken pipe", "alert")
_GLANCE_S = 0.1  # between looks at what became of the brokers

# librdkafka speaks to stderr unless it has a logger. What matters of what it says is in the errors.
_silent = logging.getLogger("wardwright.sinks.kafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class Access(NamedTuple):
    """How brokers are spoken to: over TLS, where `tls` is not None, and who we are, by the variables that hold name and password."""

    tls: TlsFiles | None = None
    mechanism: str | None = None
    user_env: str | None = None
    password_env: str | None = None


class KafkaSink:
    """A topic of a Kafka cluster, which must be there, or be made by the brokers when it is asked for."""

    kind = "kafka"

    def __init__(
        self,
        brokers: Sequence[str],
        topic: str,
        *,
        unit: Unit,
        access: Access,
        environ: Mapping[str, str],
        max_message_bytes: int,
        timeout_s: float,
    ) -> None:
        self.unit = unit
        self._brokers = ",".join(brokers)
        self._topic = topic
        self._access = access
        self._environ = environ
        self._max_message_bytes = max_message_bytes
        self._timeout_s = timeout_s
        self._producer: Producer | None = None
        self._told: dict[int, KafkaError] = {}
        self._deadline = 0.0

    @property
    def where(self) -> str:
        """The brokers, and the topic there."""
        return f"{self._brokers}, topic {self._topic}"

    def open(self) -> None:
        """Connect, and look for the topic. Raises: SinkUnavailable."""
        self.close()
        producer = self._producer = Producer(self._options())
        self._told.clear()
        self._deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                found = producer.list_topics(self._topic, timeout=_GLANCE_S).topics[self._topic]
            except KafkaException as error:
                producer.poll(0)
                if self._gives_up():
                    raise self._unavailable(error.args[0]) from error
            else:
                break
        if found.error is not None:
            raise self._unavailable(found.error)

    def deliver(self, records: Sequence[Record]) -> None:
        """Produce the records. Raises: SinkUnavailable, SinkRefused."""
        if self._producer is None:
            raise SinkUnavailable(f"{self.where} is not open")
        self._producer.poll(0)  # what was told since the last batch, of brokers that left an idle connection, is over
        self._told.clear()
        self._deadline = time.monotonic() + self._timeout_s
        refused: dict[str, KafkaError] = {}
        for wave in waves_of(records):
            refused |= self._settle(self._producer, wave)
        if refused:
            raise SinkRefused({key: _words_of(error) for key, error in refused.items()})

    def close(self) -> None:
        """Let go of the connections, and of what was not acknowledged."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(self._timeout_s)

    def _settle(self, producer: Producer, wave: Sequence[Record]) -> dict[str, KafkaError]:
        """Produce a wave; returns why some of it was refused. The library packs messages: one that was refused among others is tried alone."""
        refused = self._produce(producer, wave)
        if len(wave) == 1:
            return refused
        alone = (self._produce(producer, [record]) for record in wave if record.key in refused)
        return {key: error for found in alone for key, error in found.items()}

    def _produce(self, producer: Producer, records: Sequence[Record]) -> dict[str, KafkaError]:
        """Produce records of receipts that differ; returns why some were refused, when the topic has all others. Raises: SinkUnavailable."""
        failed: dict[str, KafkaError] = {}
        waiting = {record.key for record in records}

        def heard(key: str, error: KafkaError | None, _: Message) -> None:
            waiting.discard(key)
            if error is not None:
                failed[key] = error

        for record in records:
            try:
                producer.produce(
                    self._topic,
                    value=record.body,
                    key=record.receipt_id,
                    headers={"wardwright-key": record.key},
                    on_delivery=partial(heard, record.key),
                )
            except KafkaException as error:
                waiting.discard(record.key)
                failed[record.key] = error.args[0]
            except BufferError as error:
                raise SinkUnavailable(f"{self.where}: more waits to be sent than there is room for") from error
        while waiting:
            producer.poll(_GLANCE_S)
            if waiting and self._gives_up():
                raise self._unavailable(None)
        for wrong in failed.values():
            if wrong.code() not in _REFUSED:
                raise self._unavailable(wrong)
        return failed

    def _gives_up(self) -> bool:
        """Whether there is nothing left to wait for: no broker that would take us, or no time."""
        return not self._told.keys().isdisjoint(_HOPELESS) or time.monotonic() > self._deadline

    def _options(self) -> dict[str, Any]:
        milliseconds = max(1, round(self._timeout_s * 1000))
        return {
            "bootstrap.servers": self._brokers,
            "client.id": "wardwright",
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "zstd",
            "linger.ms": 0,
            "message.max.bytes": self._max_message_bytes,
            "delivery.timeout.ms": milliseconds,
            "request.timeout.ms": milliseconds,
            "socket.connection.setup.timeout.ms": max(1000, milliseconds),
            "error_cb": self._hear,
            "logger": _silent,
            **self._security(),
        }

    def _security(self) -> dict[str, str]:
        tls, mechanism, user_env, password_env = self._access
        secured = {} if tls is None else self._tls_options(tls)
        if mechanism is None or user_env is None or password_env is None:
            return {"security.protocol": "plaintext" if tls is None else "ssl", **secured}
        return {
            "security.protocol": "sasl_plaintext" if tls is None else "sasl_ssl",
            "sasl.mechanism": mechanism,
            "sasl.username": self._value_of(user_env),
            "sasl.password": self._value_of(password_env),
            **secured,
        }

    def _tls_options(self, tls: TlsFiles) -> dict[str, str]:
        """What the library is told, when Python has read the files: it says better what is wrong with one."""
        context_of(tls, self._environ)
        system = ssl.get_default_verify_paths()
        options = {
            "ssl.ca.location": tls.ca or system.cafile or system.capath,
            "ssl.certificate.location": tls.certificate,
            "ssl.key.location": tls.key or tls.certificate,
            "ssl.key.password": tls.key_password(self._environ),
        }
        return {name: value for name, value in options.items() if value is not None}

    def _value_of(self, variable: str) -> str:
        value = self._environ.get(variable, "").strip()
        if not value:
            raise SinkUnavailable(f"the variable {variable} is not set, which {self.where} is to be shown")
        return value

    def _hear(self, error: KafkaError) -> None:
        """Errors that the library tells of beside those it returns: the causes of these."""
        self._told[error.code()] = error

    def _unavailable(self, error: KafkaError | None) -> SinkUnavailable:
        """What to raise. That something took too long is said with its cause, where the library told one."""
        causes = [told for code, told in self._told.items() if code != KafkaError._ALL_BROKERS_DOWN]
        if causes and (error is None or error.code() in _LATE):
            error = causes[-1]
        words = f"no answer within {self._timeout_s:g} s" if error is None else self._advice(error)
        return SinkUnavailable(f"{self.where}: {words}")

    def _advice(self, error: KafkaError) -> str:
        """What happened, with the key of the configuration that may change it: the library speaks of options of its own."""
        words, access = _words_of(error), self._access
        if "certificate verify failed" in words:
            return (
                "its certificate has expired, is for another name, or is of no authority that is trusted here, "
                "which is for ca_file to say"
            )
        if error.code() == KafkaError._AUTHENTICATION and access.user_env is not None:
            return f"{words}: see the variables {access.user_env} and {access.password_env}, and sasl_mechanism"
        if any(sign in words for sign in _HUNG_UP):
            return f"{words}, as when " + (
                "it speaks TLS, which is for tls to say" if access.tls is None else REFUSES_OURS
            )
        return words


def _words_of(error: KafkaError) -> str:
    return error.str() or error.name()
