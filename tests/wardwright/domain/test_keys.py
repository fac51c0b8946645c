"""API keys: what is stored of them, and what is shown."""

from wardwright.domain.keys import KEY_PREFIX, key_hash, shown_prefix

KEY = f"{KEY_PREFIX}7Jb2hQ0mT4uVw9xYzA1bC3dE5fG7hI9jK1lM3nO5pQ"


def test_the_hash_of_a_key_tells_nothing_of_it_and_is_always_the_same() -> None:
    assert key_hash(KEY) == key_hash(KEY)
    assert key_hash(KEY) != key_hash(KEY + "x")
    assert KEY[4:] not in key_hash(KEY)


def test_anything_may_be_hashed_for_a_caller_may_send_anything() -> None:
    assert len(key_hash("\ud800")) == 64


def test_eight_characters_of_a_key_are_shown() -> None:
    assert shown_prefix(KEY) == "wwk_7Jb2hQ0m"
