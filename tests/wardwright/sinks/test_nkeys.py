"""Seeds and credentials: what is one is read, and what is none is said to be without being repeated."""

import pytest

from tests.support.nats_users import Realm, new_key
from wardwright.sinks.nkeys import UserKey, parse_credentials


def test_a_seed_has_the_public_key_that_belongs_to_it() -> None:
    made = new_key("user")
    read = UserKey(f" {made.seed}\n")
    assert read.public == made.public
    assert read.public.startswith("U")


def test_a_seed_alone_and_a_file_with_a_token_are_both_credentials() -> None:
    made = new_key("user")
    assert parse_credentials(made.seed).jwt is None
    signed = parse_credentials(Realm().credentials(seed=made.seed).replace("\n", "\r\n"))
    assert signed.key.public == made.public
    assert signed.jwt is not None
    assert signed.jwt.count(".") == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hush", "is no seed of an nkey"),
        ("", "is no seed of an nkey"),
        (new_key("user").seed[:-4] + "AAAA", "is no seed of an nkey"),
        (new_key("user").public, "is no seed of an nkey"),
        (new_key("account").seed, "not a user's, which begins with SU"),
        ("-----BEGIN USER NKEY SEED-----\nhush\n------END USER NKEY SEED------\n", "has not one token and one seed"),
    ],
    ids=["other", "nothing", "changed", "public", "account", "half"],
)
def test_what_is_no_seed_of_a_user_is_told_and_not_repeated(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        parse_credentials(text)
    assert not text or text not in str(caught.value)
    assert "hush" not in str(caught.value)
