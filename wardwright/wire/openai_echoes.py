"""What of a chunk or an answer has its text once more, or other text of the model, where no rule reads it.

- Log probabilities name every token. Those of a chunk may stay beside its text if they spell exactly that; the alternatives that they
  list are words that the model did not say, and go. Servers that hold text back send the tokens before the text.
- Token ids are the text for whoever has the vocabulary.
- Sound is the text for whoever listens. Its transcript is read as text, and stays.
- Parts of a content that are neither text nor a picture: thinking, mostly.
- `reasoning_details`, and `reasoning` that is no text, may have reasoning that `reasoning_content` has not.
"""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from wardwright.domain.chat import Completion, Fields
from wardwright.domain.policy import Channel
from wardwright.domain.stream import Frame

_NULL = msgspec.Raw(b"null")
_PICTURES = ("image_url", "image")
_SPELLED = ("content", "refusal")  # what log probabilities may spell, under these names

_CHOICES = msgspec.json.Decoder(list[Fields] | None)
_DELTA = msgspec.json.Decoder(dict[str, Any] | None)
_ANYTHING = msgspec.json.Decoder()


def without_echoes(frame: Frame, channels: Collection[Channel]) -> Frame:
    """Make a chunk without what has text of these channels where no rule reads it. Purity: pure."""
    choices = _CHOICES.decode(frame.fields.get("choices", _NULL)) or []
    cleared = [_cleared(choice, "delta", channels) for choice in choices]
    return frame if cleared == choices else Frame({**frame.fields, "choices": _raw(cleared)}, frame.events)


def answer_without_echoes(completion: Completion, channels: Collection[Channel]) -> Completion:
    """Make a whole answer without what has text of these channels where no rule reads it. Purity: pure.

    Sound may stay: its transcript has been read to the end.
    """
    if not channels:
        return completion
    choices = _CHOICES.decode(completion.fields.get("choices", _NULL)) or []
    cleared = [_cleared(choice, "message", channels, keeps_sound=True) for choice in choices]
    if cleared == choices:
        return completion
    return msgspec.structs.replace(completion, fields={**completion.fields, "choices": _raw(cleared)})


def _cleared(choice: Fields, where: str, channels: Collection[Channel], *, keeps_sound: bool = False) -> Fields:
    choice = dict(choice)
    before = _DELTA.decode(choice.get(where, _NULL)) or {}
    said = dict(before)
    if "text" in channels:
        _clear_tokens(choice, said)
        if not keeps_sound and isinstance(said.get("audio"), dict):
            said["audio"] = {name: value for name, value in said["audio"].items() if name != "data"}
    if "reasoning" in channels:
        _clear_reasoning(said)
    if isinstance(said.get("content"), list):
        said["content"] = [part for part in said["content"] if _is_readable(part)]
    if said != before:
        choice[where] = _raw(said)
    return choice


def _clear_tokens(choice: Fields, said: dict[str, Any]) -> None:
    choice.pop("token_ids", None)
    logprobs = _ANYTHING.decode(choice.get("logprobs", _NULL))
    if logprobs is None:
        return
    kept = _spelling(logprobs, said)
    if kept != logprobs:
        choice["logprobs"] = _NULL if kept is None else _raw(kept)


def _spelling(logprobs: Any, said: dict[str, Any]) -> object:
    """The log probabilities of exactly what is said, without alternatives; None when they are those of anything else."""
    if not isinstance(logprobs, dict) or not logprobs.keys() <= set(_SPELLED):
        return None
    if not all(_spells(logprobs.get(name), said.get(name)) for name in _SPELLED):
        return None
    return {name: tokens and [{**token, "top_logprobs": []} for token in tokens] for name, tokens in logprobs.items()}


def _spells(tokens: Any, text: Any) -> bool:
    """Whether a list of tokens is exactly a text, in its bytes too where it has them."""
    if not tokens:
        return True
    if not isinstance(tokens, list) or not isinstance(text, str):
        return False
    if not all(isinstance(token, dict) and isinstance(token.get("token"), str) for token in tokens):
        return False
    spelled = "".join(token["token"] for token in tokens)
    return spelled == text and all(
        token.get("bytes") in (None, list(token["token"].encode("utf-8", "surrogatepass"))) for token in tokens
    )


def _is_readable(part: Any) -> bool:
    return isinstance(part, dict) and (isinstance(part.get("text"), str) or part.get("type") in _PICTURES)


def _clear_reasoning(said: dict[str, Any]) -> None:
    if said.get("reasoning") is not None and not isinstance(said["reasoning"], str):
        del said["reasoning"]
    read = said.get("reasoning_content") or said.get("reasoning")
    texts = list(_texts_of(said.get("reasoning_details")))
    if texts and "".join(texts) != read:
        del said["reasoning_details"]


def _texts_of(details: Any) -> Iterator[str]:
    """Every text in reasoning details that people can read; a signature or what is encrypted is none."""
    for detail in details if isinstance(details, list) else [details]:
        if isinstance(detail, dict):
            yield from (value for name in ("text", "summary") if isinstance(value := detail.get(name), str))
        elif detail is not None:
            yield str(detail)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
