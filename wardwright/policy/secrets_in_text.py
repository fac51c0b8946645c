"""What redaction knows of by itself: credentials, e-mail addresses, payment cards, and encoded data that nobody can look into.

Every finder takes time linear in the text: a repetition begins only where its run of characters begins, or has a bound, and gives
nothing back. They err on the side of finding: a word too many that is missing from a record is no harm, a key in it is.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

Found = tuple[int, int]
"""From where up to where, in characters."""

Finder = Callable[[str], Iterator[Found]]

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
    r"[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----|\Z)"
)

# By the beginnings that issuers give their keys so that they can be found, and what has to follow.
_WORD, _DASHED = "A-Za-z0-9", "A-Za-z0-9_-"
_ISSUED: Mapping[str, str] = {
    "sk-": f"[{_DASHED}]{{16,}}",  # OpenAI, Anthropic, OpenRouter, DeepSeek
    **dict.fromkeys(
        ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_"), f"[{_WORD}]{{10,}}"
    ),  # Stripe
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), f"[{_WORD}]{{20,}}"),
    "github_pat_": f"[{_WORD}_]{{20,}}",
    "glpat-": f"[{_DASHED}]{{16,}}",
    **dict.fromkeys(("AKIA", "ASIA", "ABIA", "ACCA"), "[A-Z0-9]{16}"),  # AWS
    "AIza": f"[{_DASHED}]{{30,}}",  # Google
    "ya29.": f"[{_DASHED}]{{20,}}",
    "xox": f"[a-z]-[{_WORD}-]{{10,}}",  # Slack
    "xapp-": f"[{_WORD}-]{{10,}}",
    **dict.fromkeys(("hf_", "gsk_", "xai-", "r8_"), f"[{_WORD}]{{20,}}"),
    "npm_": f"[{_WORD}]{{30,}}",
    "pypi-": f"[{_DASHED}]{{30,}}",
    "dop_v1_": f"[{_WORD}]{{30,}}",
    "SG.": rf"[{_DASHED}]{{16,}}+\.[{_DASHED}]{{16,}}",  # SendGrid
    "wwk_": f"[{_DASHED}]{{16,}}",  # our own
}
_ISSUED_KEYS = {
    beginning: re.compile(f"(?<![{_WORD}]){re.escape(beginning)}{rest}") for beginning, rest in _ISSUED.items()
}
# Whether any of many words is in a text: in a short one they are looked for all at once, in a long one after the other is faster.
_SHORT = 512
_ANY_BEGINNING = re.compile("|".join(map(re.escape, _ISSUED)))
_JSON_WEB_TOKEN = re.compile(rf"(?<![{_DASHED}])eyJ[{_DASHED}]{{8,}}+\.[{_DASHED}]{{8,}}+(?:\.[{_DASHED}]*+){{0,3}}")
_BEARER = re.compile(r"\s{1,8}([A-Za-z0-9._~+/-]{16,}+=*)")
_URL_PASSWORD = re.compile(r"://[^\s/@:?#\"']{0,256}+:([^\s/@?#\"']{1,256}+)@")

# The last words of names that secrets go by, the prefixes that make one of a `key`, and what follows the name: `=` and a value.
_NAMES = ("key", "secret", "password", "passwd", "passphrase", "pwd", "token", "credential", "authorization", "cookie")
_ANY_NAME = re.compile("|".join(_NAMES))
_MAKES_A_SECRET_KEY = re.compile(r"(?:api|access|secret|private|signing|encryption)[_ -]?\Z")
_VALUE = re.compile(
    r"(?:[_-]?id)?[\"'\\]{0,4}\s{0,8}(?:=>|:=|=|:)\s{0,8}(?:"
    r"\\?\"([^\"\\\n]{1,4096})"
    r"|\\?'([^'\\\n]{1,4096})"
    r"|((?:(?:bearer|basic|digest|token)\s{1,8})?[^\s\"'\\,;&<>(){}\[\]]{4,})"
    r")",
    re.IGNORECASE,
)
_SHORTEST_ENCODED = 512
_ENCODED = re.compile(f"[{_WORD}+/_-]*+")
_PADDING = re.compile("=*")
_LOCAL_PART = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]")
_DOMAIN = re.compile(r"\w(?:[\w-]*+\.)+[^\W\d_]{2,}")

_DIGITS = re.compile(r"\d++(?:[ -]\d++)*")
_GROUP = re.compile(r"\d+")
_SHORTEST_GROUP = 3
_CARD_LENGTHS = range(13, 20)
_CARD_BEGINNINGS = "23456"


def names_a_secret(name: str) -> bool:
    """Whether what stands under this name is a secret, whatever it looks like. Purity: pure."""
    lowered = _lowered(name).removesuffix("id").rstrip("_-")
    word = next((word for word in _NAMES if lowered.endswith(word)), None)
    return word is not None and _is_secret_name(lowered, len(lowered) - len(word), word)


def _is_secret_name(lowered: str, start: int, word: str) -> bool:
    return word != "key" or _MAKES_A_SECRET_KEY.search(lowered[max(0, start - 12) : start]) is not None


def _lowered(text: str) -> str:
    """In small letters, character for character: the dotted capital I is the one that would become two."""
    return text.replace("\u0130", "I").lower()


def _places(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _whole(pattern: re.Pattern[str]) -> Finder:
    return lambda text: (match.span() for match in pattern.finditer(text))


def _has_none(words: re.Pattern[str], text: str) -> bool:
    """Whether it is seen at once that a text has none of these words, as most short ones have: of them there may be ten thousands."""
    return len(text) < _SHORT and words.search(text) is None


def _issued_keys(text: str) -> Iterator[Found]:
    if _has_none(_ANY_BEGINNING, text):
        return
    for beginning, key in _ISSUED_KEYS.items():
        yield from _at(key, text, beginning)


def _at(pattern: re.Pattern[str], text: str, beginning: str) -> Iterator[Found]:
    """Matches of a pattern that begins with this word. To look for the word first is many times faster."""
    end = 0
    for at in _places(text, beginning):
        if at >= end and (found := pattern.match(text, at)):
            end = found.end()
            yield found.span()


def _tokens(text: str) -> Iterator[Found]:
    yield from _at(_JSON_WEB_TOKEN, text, "eyJ")
    for at in _places(_lowered(text), "bearer"):
        if found := _BEARER.match(text, at + len("bearer")):
            yield found.span(1)


def _encoded(text: str) -> Iterator[Found]:
    """Long runs of characters that encodings use. One of them covers one of every so many places, so only these are looked at."""
    end = 0
    for at in range(_SHORTEST_ENCODED - 1, len(text), _SHORTEST_ENCODED):
        if at < end or _end_of(_ENCODED, text, at) == at:
            continue
        before = text[max(end, at - _SHORTEST_ENCODED) : at][::-1]
        start, end = at - _end_of(_ENCODED, before, 0), _end_of(_ENCODED, text, at)
        if end - start >= _SHORTEST_ENCODED:
            yield start, _end_of(_PADDING, text, end)


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _named_secrets(text: str) -> Iterator[Found]:
    """Values that stand behind the name of a secret, and passwords in URLs."""
    for at in _places(text, "://"):
        if found := _URL_PASSWORD.match(text, at):
            yield found.span(1)
    lowered = _lowered(text)
    if _has_none(_ANY_NAME, lowered):
        return
    for word in _NAMES:
        for at in _places(lowered, word):
            found = _VALUE.match(text, at + len(word)) if _is_secret_name(lowered, at, word) else None
            if found:
                yield found.span(found.lastindex or 0)


def _emails(text: str) -> Iterator[Found]:
    """From each `@` as far to both sides as an address goes."""
    before = 0
    for at in _places(text, "@"):
        domain = _DOMAIN.match(text, at + 1)
        start = at
        while domain and start > before and _LOCAL_PART.match(text[start - 1]):
            start -= 1
        if domain and start < at:
            yield start, domain.end()
        before = at + 1


def _cards(text: str) -> Iterator[Found]:
    """Groups of digits that have a card's length, beginning and check digit together.

    In a long row of numbers only such groups count as cards are written in: else a table of single digits would be full of cards.
    """
    for run in _DIGITS.finditer(text):
        if run.end() - run.start() < _CARD_LENGTHS[0]:
            continue
        groups = [(run.start() + start, run.start() + end) for start, end in _whole(_GROUP)(run[0])]
        if len(groups) <= _CARD_LENGTHS[-1]:
            yield from _cards_among(text, groups)
        else:
            for is_long, some in groupby(groups, key=lambda group: group[1] - group[0] >= _SHORTEST_GROUP):
                yield from _cards_among(text, list(some)) if is_long else ()


def _cards_among(text: str, groups: Sequence[Found]) -> Iterator[Found]:
    for number, (start, _) in enumerate(groups):
        if text[start] not in _CARD_BEGINNINGS:
            continue
        digits = ""
        for first, end in groups[number : number + _CARD_LENGTHS[-1]]:
            digits += text[first:end]
            if len(digits) > _CARD_LENGTHS[-1]:
                break
            if len(digits) in _CARD_LENGTHS and _has_check_digit(digits):
                yield start, end


def _has_check_digit(digits: str) -> bool:
    """By Luhn's formula."""
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 * (value > 9) for value in doubled)) % 10 == 0


FINDERS: Mapping[str, Finder] = {
    "private_key": _whole(_PRIVATE_KEY),
    "api_key": _issued_keys,
    "token": _tokens,
    "secret": _named_secrets,
    "email": _emails,
    "card": _cards,
    "encoded": _encoded,
}
"""What is found, by the name that is put in its place."""
