"""The language of patterns, parsed into a tree that an automaton can be built from.

It is the part of Perl's syntax that needs no memory and no look-around, and it means the same here as in `policy.patterns`:

- literals, `.` (any character but a newline; with `(?s)` any), classes `[a-z]`, `[^…]`, `[[:alpha:]]`;
- `\\d \\w \\s \\D \\W \\S` and `\\b \\B` over ASCII; `\\p{L}`, `\\p{Lu}`, `\\P{…}` by Unicode's general categories;
- `\\n \\r \\t \\f \\v \\a \\e \\0 \\xHH \\x{H…}`, and `\\` before anything that is no letter or digit;
- groups `(…)`, `(?:…)`, `(?P<name>…)`, `(?<name>…)`, alternation, `* + ? {n} {n,} {n,m}`, lazy or not: what is matched is the same;
- `^` and `\\A`, `$`, `\\z` and `\\Z`: the ends of the text; with `(?m)`, `^` and `$` also those of every line;
- flags `(?i)`, `(?s)`, `(?m)` for the rest of their group, or `(?i:…)` for what is inside.

Back-references, look-around, atomic groups and possessive quantifiers are refused: they cannot be matched in linear time and
without memory.
"""

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple, NoReturn, TypeAlias

from wardwright.policy.patterns import Pattern, PatternError

LONGEST_REPEAT = 1000
_KEPT_TREES = 4096

AnchorKind = Literal["text_start", "text_end", "line_start", "line_end", "boundary", "no_boundary"]


class Item(NamedTuple):
    """Part of a character class: a range of code points, or a general category (`category` set, `negated` for `\\P`)."""

    low: int
    high: int
    category: str = ""
    negated: bool = False

    def has(self, character: str) -> bool:
        """Whether a character belongs to it."""
        if self.category:
            return unicodedata.category(character).startswith(self.category) is not self.negated
        return self.low <= ord(character) <= self.high


class Chars(NamedTuple):
    """One character out of a set."""

    items: tuple[Item, ...]
    negated: bool = False
    folded: bool = False

    def has(self, character: str) -> bool:
        """Whether a character is in the set; `folded` ignores its case."""
        spellings = cases_of(character) if self.folded else (character,)
        return any(item.has(spelling) for item in self.items for spelling in spellings) is not self.negated


class Anchor(NamedTuple):
    """A place between two characters."""

    kind: AnchorKind


class Sequence(NamedTuple):
    """One thing after the other."""

    parts: tuple["Node", ...]


class Choice(NamedTuple):
    """One thing or another."""

    options: tuple["Node", ...]


class Repeat(NamedTuple):
    """A thing so many times; `most` is None for no limit."""

    body: "Node"
    least: int
    most: int | None


Node: TypeAlias = Chars | Anchor | Sequence | Choice | Repeat

EMPTY = Sequence(())

_DIGIT = (Item(0x30, 0x39),)
_WORD = (Item(0x30, 0x39), Item(0x41, 0x5A), Item(0x5F, 0x5F), Item(0x61, 0x7A))
_SPACE = (Item(0x09, 0x0D), Item(0x20, 0x20))
_LAST = 0x10FFFF
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b", "0": "\0"}
_POSIX = {
    "alpha": (Item(0x41, 0x5A), Item(0x61, 0x7A)),
    "digit": _DIGIT,
    "alnum": (Item(0x30, 0x39), Item(0x41, 0x5A), Item(0x61, 0x7A)),
    "upper": (Item(0x41, 0x5A),),
    "lower": (Item(0x61, 0x7A),),
    "space": _SPACE,
    "blank": (Item(0x09, 0x09), Item(0x20, 0x20)),
    "punct": (Item(0x21, 0x2F), Item(0x3A, 0x40), Item(0x5B, 0x60), Item(0x7B, 0x7E)),
    "print": (Item(0x20, 0x7E),),
    "graph": (Item(0x21, 0x7E),),
    "cntrl": (Item(0x00, 0x1F), Item(0x7F, 0x7F)),
    "xdigit": (Item(0x30, 0x39), Item(0x41, 0x46), Item(0x61, 0x66)),
    "word": _WORD,
}
_CATEGORIES = frozenset(
    ["L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi",
     "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cs", "Co", "Cn"]
)  # fmt: skip


class _Flags(NamedTuple):
    folded: bool = False
    dot_all: bool = False
    lines: bool = False


@lru_cache(_KEPT_TREES)
def parse_pattern(pattern: Pattern) -> Node:
    """Read a pattern as a tree. Purity: pure.

    Raises: PatternError, whose message completes "expected a pattern that …".
    """
    if not pattern.is_regex:
        return Sequence(tuple(_one(character) for character in pattern.text))
    parser = _Parser(pattern.text)
    return parser.parse()


def longest_match(node: Node, size: Callable[["Chars"], int] = lambda _: 1) -> int | None:
    """The most that a match can have of characters, or of what `size` counts of each; None when there is no most. Purity: pure."""
    match node:
        case Chars():
            return size(node)
        case Anchor():
            return 0
        case Sequence(parts):
            lengths = [longest_match(part, size) for part in parts]
            return None if None in lengths else sum(length or 0 for length in lengths)
        case Choice(options):
            lengths = [longest_match(option, size) for option in options]
            return None if None in lengths else max((length or 0 for length in lengths), default=0)
        case Repeat(body, _, most):
            length = longest_match(body, size)
            return 0 if length == 0 else None if length is None or most is None else length * most


def widest_character(chars: Chars) -> int:
    """The most bytes that a character of a set takes as UTF-8. Purity: pure."""
    if chars.negated or any(item.category for item in chars.items):
        return 4
    highest = max((item.high for item in chars.items), default=_LAST)
    if chars.folded:
        if highest > 0x7F:
            return 4
        # The Kelvin sign is a k whose case is ignored, the long s an s: the only such beyond ASCII.
        return 3 if chars.has("k") else 2 if chars.has("s") else 1
    return len(chr(highest).encode("utf-8", "surrogatepass"))


def has_anchors(node: Node) -> bool:
    """Whether a pattern asks for a place. Purity: pure."""
    match node:
        case Chars():
            return False
        case Anchor():
            return True
        case Sequence(parts) | Choice(parts):
            return any(has_anchors(part) for part in parts)
        case Repeat(body):
            return has_anchors(body)


def shortest_match(node: Node) -> int:
    """The fewest characters that a match can have. Purity: pure."""
    match node:
        case Chars():
            return 1
        case Anchor():
            return 0
        case Sequence(parts):
            return sum(shortest_match(part) for part in parts)
        case Choice(options):
            return min((shortest_match(option) for option in options), default=0)
        case Repeat(body, least, _):
            return shortest_match(body) * least


def cases_of(character: str) -> tuple[str, ...]:
    """The spellings of a character that differ in case alone, itself first; only those that are one character. Purity: pure."""
    others = (character.lower(), character.upper(), character.title(), character.casefold(), character.upper().lower())
    return tuple(dict.fromkeys([character, *(other for other in others if len(other) == 1)]))


def _one(character: str, *, folded: bool = False) -> Chars:
    spellings = cases_of(character) if folded else (character,)
    return Chars(tuple(Item(ord(spelling), ord(spelling)) for spelling in spellings), folded=folded)


class _Parser:
    """A recursive descent over the text of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> Node:
        node = self._choice(_Flags())
        if self._at < len(self._text):
            self._refuse("is a valid regular expression: unmatched )")
        return node

    def _choice(self, flags: _Flags) -> Node:
        options: list[Node] = []
        parts: list[Node] = []
        while not self._is_at_end() and self._peek() != ")":
            if self._take("|"):
                options.append(_sequence(parts))
                parts = []
            elif self._text.startswith("(?", self._at) and (found := self._inline_flags(flags)) is not None:
                flags = found
            else:
                parts.append(self._repeated(self._atom(flags)))
        options.append(_sequence(parts))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    # --- atoms

    def _atom(self, flags: _Flags) -> Node:
        character = self._next()
        match character:
            case "(":
                return self._group(flags)
            case "[":
                return self._class(flags)
            case ".":
                return Chars((), negated=True) if flags.dot_all else Chars((Item(0x0A, 0x0A),), negated=True)
            case "^":
                return Anchor("line_start" if flags.lines else "text_start")
            case "$":
                return Anchor("line_end" if flags.lines else "text_end")
            case "\\":
                return self._escape(flags)
            case _:
                if character in "*+?":
                    self._refuse(f"is a valid regular expression: nothing to repeat before {character}", back=1)
                return _one(character, folded=flags.folded)

    def _group(self, flags: _Flags) -> Node:
        begun = self._at - 1
        if self._take("?"):
            for opener in ("=", "!", "<=", "<!"):
                if self._take(opener):
                    self._refuse("has no look-ahead or look-behind: matching takes linear time, which rules them out")
            if self._take(">"):
                self._refuse("has no atomic group: matching tries every way at once, which rules them out")
            if self._take("P=") or self._take("P>"):
                self._refuse("has no back-reference: matching takes linear time, which rules them out")
            if self._take("P<") or self._take("<"):
                self._name()
            elif not self._take(":"):
                flags = self._scoped_flags(flags)
        node = self._choice(flags)
        if not self._take(")"):
            self._at = begun
            self._refuse("is a valid regular expression: missing )")
        return node

    def _escape(self, flags: _Flags) -> Node:
        character = self._next_escaped()
        match character:
            case "b":
                return Anchor("boundary")
            case "B":
                return Anchor("no_boundary")
            case "A":
                return Anchor("text_start")
            case "z" | "Z":
                return Anchor("text_end")
            case "Q":
                return self._quoted(flags)
            case "d" | "w" | "s":
                return Chars(_CLASSES[character])
            case "D" | "W" | "S":
                return Chars(_CLASSES[character.lower()], negated=True)
            case "p" | "P":
                return Chars((self._category(negated=character == "P"),))
            case _:
                return _one(self._escaped_character(character), folded=flags.folded)

    def _quoted(self, flags: _Flags) -> Node:
        end = self._text.find("\\E", self._at)
        quoted = self._text[self._at :] if end < 0 else self._text[self._at : end]
        self._at = len(self._text) if end < 0 else end + 2
        return Sequence(tuple(_one(character, folded=flags.folded) for character in quoted))

    def _class(self, flags: _Flags) -> Chars:
        begun = self._at - 1
        negated = self._take("^")
        items: list[Item] = []
        while True:
            if self._is_at_end():
                self._at = begun
                self._refuse("is a valid regular expression: missing ]")
            if self._peek() == "]" and items:
                self._at += 1
                break
            if self._take("[:"):
                items += self._posix()
                continue
            found = self._class_member()
            if isinstance(found, str):
                found = [self._range_from(found)]
            items += found
        return Chars(tuple(_folded(items) if flags.folded else items), negated, flags.folded)

    def _class_member(self) -> str | list[Item]:
        character = self._next()
        if character != "\\":
            return character
        escaped = self._next_escaped()
        if escaped in "dws":
            return list(_CLASSES[escaped])
        if escaped in "DWS":
            return _complement(_CLASSES[escaped.lower()])
        if escaped in "pP":
            return [self._category(negated=escaped == "P")]
        return "\b" if escaped == "b" else self._escaped_character(escaped)

    def _range_from(self, low: str) -> Item:
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return Item(ord(low), ord(low))
        self._at += 1
        high = self._class_member()
        if not isinstance(high, str) or high < low:
            self._refuse("is a valid regular expression: bad range in a character class", back=1)
        return Item(ord(low), ord(high))

    def _posix(self) -> list[Item]:
        end = self._text.find(":]", self._at)
        name = self._text[self._at : end] if end >= 0 else ""
        inverse = name.startswith("^")
        items = _POSIX.get(name.removeprefix("^"))
        if items is None:
            self._refuse("is a valid regular expression: unknown class in [: :]")
        self._at = end + 2
        return _complement(items) if inverse else list(items)

    def _category(self, *, negated: bool) -> Item:
        name = self._next()
        if name == "{":
            end = self._text.find("}", self._at)
            name = self._text[self._at : end] if end >= 0 else ""
            self._at = end + 1
        if name.startswith("^"):
            name, negated = name[1:], not negated
        if name not in _CATEGORIES:
            self._refuse(f"is a valid regular expression: unknown Unicode category {name!r}")
        return Item(0, 0, name, negated)

    def _escaped_character(self, character: str) -> str:
        if character in _ESCAPES:
            return _ESCAPES[character]
        if character == "x":
            return self._by_code()
        if character.isdigit() or character in "kg":
            self._refuse("has no back-reference: matching takes linear time, which rules them out")
        if character.isalpha():
            self._refuse(f"is a valid regular expression: unknown escape \\{character}")
        return character

    def _by_code(self) -> str:
        if self._take("{"):
            end = self._text.find("}", self._at)
            digits = self._text[self._at : end] if end >= 0 else ""
            self._at = end + 1
        else:
            digits = self._text[self._at : self._at + 2]
            self._at += 2
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            self._refuse("is a valid regular expression: bad character code after \\x")

    # --- repetition and flags

    def _repeated(self, atom: Node) -> Node:
        while True:
            bounds = self._bounds()
            if bounds is None:
                return atom
            least, most = bounds
            if self._take("+"):
                self._refuse("has no possessive quantifier: matching tries every way at once, which rules them out")
            self._take("?")
            if most is not None and most < least:
                self._refuse("is a valid regular expression: a repeat whose most is less than its least")
            if max(least, most or 0) > LONGEST_REPEAT:
                self._refuse(f"repeats nothing more than {LONGEST_REPEAT} times")
            atom = Repeat(atom, least, most)

    def _bounds(self) -> tuple[int, int | None] | None:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        end = self._text.find("}", self._at)
        if self._peek() != "{" or end < 0:
            return None
        least, comma, most = self._text[self._at + 1 : end].partition(",")
        if not (least.isdecimal() and least.isascii()) or (most and not (most.isdecimal() and most.isascii())):
            return None  # a brace that begins no repeat stands for itself
        self._at = end + 1
        return int(least), int(most) if most else None if comma else int(least)

    def _inline_flags(self, flags: _Flags) -> _Flags | None:
        """Read `(?i)` and its like; None, and nothing is read, where a group begins."""
        end = self._text.find(")", self._at)
        letters = self._text[self._at + 2 : end] if end >= 0 else ""
        if not letters or not set(letters) <= set("imsu-x"):
            return None
        self._at = end + 1
        return self._with_letters(flags, letters)

    def _scoped_flags(self, flags: _Flags) -> _Flags:
        end = self._text.find(":", self._at)
        letters = self._text[self._at : end] if end >= 0 else ""
        if not letters or not set(letters) <= set("imsu-x"):
            self._refuse("is a valid regular expression: unknown kind of group")
        self._at = end + 1
        return self._with_letters(flags, letters)

    def _with_letters(self, flags: _Flags, letters: str) -> _Flags:
        if "x" in letters:
            self._refuse("is written without (?x)")
        on, _, off = letters.partition("-")
        return _Flags(
            folded=("i" in on or flags.folded) and "i" not in off,
            dot_all=("s" in on or flags.dot_all) and "s" not in off,
            lines=("m" in on or flags.lines) and "m" not in off,
        )

    def _name(self) -> None:
        end = self._text.find(">", self._at)
        if end < 0 or not self._text[self._at : end].isidentifier():
            self._refuse("is a valid regular expression: bad name of a group")
        self._at = end + 1

    # --- the text

    def _is_at_end(self) -> bool:
        return self._at >= len(self._text)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        if self._is_at_end():
            self._refuse("is a valid regular expression: it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _next_escaped(self) -> str:
        if self._is_at_end():
            self._refuse("is a valid regular expression: a backslash at its end", back=1)
        return self._next()

    def _take(self, wanted: str) -> bool:
        if not self._text.startswith(wanted, self._at):
            return False
        self._at += len(wanted)
        return True

    def _refuse(self, expectation: str, *, back: int = 0) -> NoReturn:
        raise PatternError(f"{expectation} (at character {self._at - back + 1})")


def _sequence(parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


def _complement(items: tuple[Item, ...]) -> list[Item]:
    """The code points outside some ranges, which are in order."""
    found, begin = [], 0
    for item in items:
        if item.low > begin:
            found.append(Item(begin, item.low - 1))
        begin = item.high + 1
    return [*found, Item(begin, _LAST)]


def _folded(items: list[Item]) -> list[Item]:
    """Add to single characters their spellings in the other case; ranges are compared spelling by spelling."""
    single = [item for item in items if not item.category and item.low == item.high]
    spellings = [spelling for item in single for spelling in cases_of(chr(item.low))]
    return [*items, *(Item(ord(spelling), ord(spelling)) for spelling in spellings)]
