"""Our own credential leaves no adapter, wherever a provider quotes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.errors import Failure, ProviderError
from wardwright.providers.refusal import keeping_secret

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=40)
WORDS = st.text('abc "\\{}', max_size=10)


@given(secret=SECRETS, before=WORDS, after=WORDS, data=st.data())
def test_a_secret_is_in_no_part_of_an_error(secret: str, before: str, after: str, data: st.DataObject) -> None:
    quoted = f"{before}{secret}{after}"
    leaf = st.sampled_from([quoted, secret, before, None, 7, True])
    error = data.draw(
        st.recursive(
            leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just(quoted), inner), max_leaves=6
        )
    )
    failure = Failure("invalid_request", quoted, 400, code=data.draw(st.sampled_from([secret, quoted, None])))

    with pytest.raises(ProviderError) as caught, keeping_secret(secret):
        raise ProviderError(failure, upstream_error={"message": quoted, quoted: error})

    told = caught.value
    assert (told.failure.failure_class, told.failure.status, told.code) == ("invalid_request", 400, "invalid_request")
    for text in texts_of([told.message, told.failure.message, told.failure.code, told.upstream_error]):
        assert secret not in text.replace("(our key)", "\0")
    assert told.__cause__ is None


@pytest.mark.parametrize("secret", [None, "", "sk-other"])
def test_an_error_that_quotes_nothing_is_left_as_it_is(secret: str | None) -> None:
    error = ProviderError(Failure("auth", "the provider answered 401 (sk-1)", 401, code="bad"), upstream_error={"a": 1})
    with pytest.raises(ProviderError) as caught, keeping_secret(secret):
        raise error
    assert caught.value is error


def texts_of(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for entry in value.items() for text in texts_of(list(entry))]
    return [text for entry in value for text in texts_of(entry)] if isinstance(value, list) else []
