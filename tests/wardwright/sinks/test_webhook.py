"""What a webhook promises beyond the contract: signatures that others can check, ids that stay, and refusals that come to an end."""

import base64
import hashlib
import hmac

import msgspec
import pytest

from tests.support.receiver import Asked, Reply, receiving
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable
from wardwright.sinks.far_side import FarSide
from wardwright.sinks.webhook import WebhookSink, parse_secrets, sign
from wardwright.testing.sink_bench import sample_records


def webhook(url: str, secret: str = "", timeout_s: float = 5) -> WebhookSink:
    far_side = FarSide(url, headers_env={}, environ={}, timeout_s=timeout_s, hides_path=True)
    secrets = parse_secrets(secret, "there") if secret else []
    made = WebhookSink(far_side, unit="events", secrets=lambda: secrets, now=lambda: 1_614_265_330.5)
    made.open()
    return made


def keys_in(asked: Asked) -> list[str]:
    return [item["key"] for item in msgspec.json.decode(asked.body)["data"]]


def test_a_signature_is_that_of_the_specification() -> None:
    (secret,) = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "there")
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_secret_signs_while_they_are_changed() -> None:
    asked: list[Asked] = []

    def take(each: Asked) -> Reply:
        asked.append(each)
        return Reply()

    with receiving(take) as receiver:
        sink = webhook(receiver.url, f"old-secret whsec_{base64.b64encode(b'new').decode()}")
        sink.deliver(sample_records("events", 1))
        sink.close()
    (request,) = asked
    signed = b".".join([request.headers["webhook-id"].encode(), b"1614265330", request.body])
    digests = [hmac.new(secret, signed, hashlib.sha256).digest() for secret in (b"old-secret", b"new")]
    expected = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    assert request.headers["webhook-signature"] == expected


def test_without_a_secret_nothing_is_signed() -> None:
    asked: list[Asked] = []

    def take(each: Asked) -> Reply:
        asked.append(each)
        return Reply()

    with receiving(take) as receiver:
        sink = webhook(f"{receiver.url}/hook/")
        sink.deliver(sample_records("events", 1))
        sink.close()
    assert "webhook-signature" not in asked[0].headers
    assert asked[0].path == "/hook/"


@pytest.mark.parametrize("text", ["   ", "whsec_", "whsec_%%%", "good whsec_"])
def test_a_secret_that_is_none_is_told_without_being_told(text: str) -> None:
    with pytest.raises(SinkUnavailable) as refusal:
        parse_secrets(text, "https://hooks.example")
    assert "https://hooks.example" in refusal.value.message
    assert "%%%" not in refusal.value.message


def test_a_batch_sent_again_has_the_same_id_and_bytes_and_another_batch_has_not() -> None:
    asked: list[Asked] = []

    def take(each: Asked) -> Reply:
        asked.append(each)
        return Reply()

    records = sample_records("events", 3)
    with receiving(take) as receiver:
        sink = webhook(receiver.url)
        sink.deliver(records)
        sink.deliver(records)
        sink.deliver(records[1:])
        sink.close()
    first, second, third = asked
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert third.headers["webhook-id"] != first.headers["webhook-id"]


@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 410, 425, 429, 500, 503, 301])
def test_what_may_pass_is_waited_for(status: int) -> None:
    reply = Reply(status, headers={"retry-after": "17", "location": "http://127.0.0.1:1/"})
    with receiving(lambda _: reply) as receiver:
        sink = webhook(f"{receiver.url}/secret-path")
        with pytest.raises(SinkUnavailable) as failure:
            sink.deliver(sample_records("events", 1))
        sink.close()
    assert f"HTTP {status}" in failure.value.message
    assert "secret-path" not in failure.value.message
    assert failure.value.retry_after_s == 17


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_is_found_with_few_requests(status: int) -> None:
    records = sample_records("events", 100)[:256]
    unwanted = records[77].key
    sizes: list[int] = []

    def take(asked: Asked) -> Reply:
        keys = keys_in(asked)
        sizes.append(len(keys))
        return Reply(status if unwanted in keys else 200)

    with receiving(take) as receiver:
        sink = webhook(receiver.url)
        with pytest.raises(SinkRefused) as refusal:
            sink.deliver(records)
        sink.close()
    assert refusal.value.reasons == {unwanted: f"the receiver answers HTTP {status}"}
    assert sizes[:3] == [256, 128, 64]
    assert len(sizes) < 40


def test_a_receiver_that_is_slow_to_refuse_is_not_asked_for_ever() -> None:
    records = sample_records("events", 4)[:8]
    answered = 0
    arrived: list[str] = []

    def take(asked: Asked) -> Reply:
        nonlocal answered
        answered += 1
        if answered % 2 == 0:
            return Reply(503)  # as when the time for a batch is over
        keys = keys_in(asked)
        if any(key.endswith(("1", "3")) for key in keys):
            return Reply(422)
        arrived.extend(keys)
        return Reply()

    def attempts(batch: list[Record]) -> tuple[int, dict[str, str]]:
        for attempt in range(1, 50):
            try:
                sink.deliver(batch)
            except SinkUnavailable:
                sink.close()
                sink.open()
            except SinkRefused as refusal:
                return attempt, dict(refusal.reasons)
        raise AssertionError("it went on for ever")

    with receiving(take) as receiver:
        sink = webhook(receiver.url)
        count, reasons = attempts(records)
        sink.close()
    unwanted = {record.key for record in records if record.key.endswith(("1", "3"))}
    assert reasons.keys() == unwanted
    assert arrived == [record.key for record in records if record.key not in unwanted], "and each just once"
    assert count > 5
