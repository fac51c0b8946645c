"""Who may use what is not serving."""

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.wardwright.edge.asgi import ELSEWHERE, LOOPBACK, http_scope
from wardwright.domain.errors import Forbidden
from wardwright.edge.auth import AdminGuard
from wardwright.edge.http import Scope

TOKEN = "s3cret-token"


def is_admitted(guard: AdminGuard, scope: Scope) -> bool:
    try:
        guard.check(scope)
    except Forbidden:
        return False
    return True


def from_here(**headers: str) -> bool:
    """Whether a request from this machine with these headers is admitted when there is no token."""
    return is_admitted(AdminGuard(None), http_scope(headers=headers))


class TestWithoutAToken:
    @pytest.mark.parametrize(
        ("peer", "is_here"),
        [
            ("127.0.0.1", True),
            ("127.8.9.10", True),
            ("::1", True),
            ("::ffff:127.0.0.1", True),
            ("192.0.2.7", False),
            ("10.0.0.1", False),
            ("0.0.0.0", False),
            ("::", False),
            ("::ffff:192.0.2.7", False),
            ("2001:db8::1", False),
            ("fe80::1", False),
            ("localhost", False),
            ("", False),
        ],
    )
    def test_only_this_machine_may_ask(self, peer: str, is_here: bool) -> None:
        assert is_admitted(AdminGuard(None), http_scope(peer=(peer, 50000))) == is_here

    def test_a_peer_without_an_address_may_not(self) -> None:
        assert not is_admitted(AdminGuard(None), http_scope(peer=None))

    @pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host"])
    def test_a_forwarded_header_proves_nothing(self, name: str) -> None:
        assert not is_admitted(AdminGuard(None), http_scope(headers={name: "127.0.0.1"}, peer=ELSEWHERE))
        assert is_admitted(AdminGuard(None), http_scope(headers={name: "192.0.2.7"}))

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "localhost:8791",
            "LocalHost:1",
            "127.0.0.1",
            "127.0.0.1:8791",
            "127.1.2.3",
            "[::1]",
            "[::1]:8791",
        ],
    )
    def test_a_host_that_names_this_machine_is_fine(self, host: str) -> None:
        assert from_here(host=host)

    @pytest.mark.parametrize(
        "host",
        [
            "attacker.example",
            "attacker.example:8791",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "attacker.example.localhost.",
            "localhost.",
            "192.0.2.7",
            "0.0.0.0",
            "[2001:db8::1]",
            "[::1",
            "::1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "",
            " ",
            "xn--localhost",
            "localhost\u00ad",
        ],
    )
    def test_a_page_of_another_site_cannot_reach_in_under_its_own_name(self, host: str) -> None:
        assert not from_here(host=host)

    def test_an_old_client_without_a_host_is_admitted(self) -> None:
        scope = http_scope()
        scope["headers"] = []
        assert is_admitted(AdminGuard(None), scope)

    @pytest.mark.parametrize(
        ("origin", "is_ours"),
        [
            ("http://localhost:8791", True),
            ("http://127.0.0.1:3000", True),
            ("https://[::1]", True),
            ("null", False),
            ("", False),
            ("http://attacker.example", False),
            ("http://localhost.attacker.example", False),
            ("https://attacker.example/?localhost", False),
            ("http://attacker.example#localhost", False),
            ("file://", False),
            ("localhost", False),
            ("http://[::1", False),
        ],
    )
    def test_a_page_of_another_site_is_known_by_its_origin(self, origin: str, is_ours: bool) -> None:
        assert from_here(origin=origin) == is_ours

    @settings(max_examples=40)
    @given(
        label=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True),
        domain=st.sampled_from(["example", "attacker.example", "localhost.example", "127.0.0.1.example", "test"]),
        port=st.one_of(st.just(""), st.integers(0, 65535).map(":{}".format)),
    )
    def test_no_domain_name_passes_for_this_machine(self, label: str, domain: str, port: str) -> None:
        assert not from_here(host=f"{label}.{domain}{port}")

    @given(address=st.ip_addresses(), port=st.one_of(st.just(""), st.integers(0, 65535).map(":{}".format)))
    @example(address=ipaddress.ip_address("::ffff:7f00:1"), port=":80")
    def test_of_all_addresses_only_those_of_this_machine_pass(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: str
    ) -> None:
        host = f"[{address}]" if address.version == 6 else str(address)
        mapped = getattr(address, "ipv4_mapped", None) or address
        assert from_here(host=f"{host}{port}") == mapped.is_loopback

    @given(host=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30))
    @example(host="user@localhost")
    @example(host="localhost:notaport")
    def test_no_host_breaks_the_check(self, host: str) -> None:
        if from_here(host=host):
            assert urlsplit(f"//{host}").hostname in ("localhost", "::1") or host.strip("[]").startswith(("127.", "::"))

    @settings(max_examples=60)
    @given(host=st.from_regex(r"[a-z0-9.-]{1,40}", fullmatch=True))
    def test_what_a_browser_can_send_passes_only_when_it_names_this_machine(self, host: str) -> None:
        assume(host != "localhost" and not host.startswith("127."))
        assert not from_here(host=host)


class TestWithAToken:
    @pytest.mark.parametrize("peer", [LOOPBACK, ELSEWHERE, None])
    @pytest.mark.parametrize(
        ("headers", "is_right"),
        [
            ({"authorization": f"Bearer {TOKEN}"}, True),
            ({"authorization": f"bearer {TOKEN}"}, True),
            ({"authorization": f"Bearer   {TOKEN} "}, True),
            ({"x-wardwright-admin-token": TOKEN}, True),
            ({"x-wardwright-admin-token": TOKEN, "authorization": "Bearer sk-serving-key"}, True),
            ({}, False),
            ({"authorization": ""}, False),
            ({"authorization": "Bearer"}, False),
            ({"authorization": "Bearer "}, False),
            ({"authorization": TOKEN}, False),
            ({"authorization": f"Basic {TOKEN}"}, False),
            ({"authorization": f"Bearer {TOKEN}x"}, False),
            ({"authorization": f"Bearer {TOKEN[:-1]}"}, False),
            ({"authorization": f"Bearer {TOKEN.upper()}"}, False),
            ({"x-wardwright-admin-token": ""}, False),
            ({"x-wardwright-admin-token": "wrong", "authorization": f"Bearer {TOKEN}"}, False),
            ({"x-wardwright-admin-token": "gr\u00fcn"}, False),
        ],
    )
    def test_it_is_required_from_everywhere(
        self, peer: tuple[str, int] | None, headers: dict[str, str], is_right: bool
    ) -> None:
        assert is_admitted(AdminGuard(TOKEN), http_scope(headers=headers, peer=peer)) == is_right

    def test_it_stands_instead_of_the_checks_of_host_and_origin(self) -> None:
        headers = {"authorization": f"Bearer {TOKEN}", "host": "gateway.example", "origin": "https://console.example"}
        assert is_admitted(AdminGuard(TOKEN), http_scope(headers=headers, peer=ELSEWHERE))

    @pytest.mark.parametrize("token", ["gr\u00fcn", "caf\u00e0", "\u2603"])
    def test_a_token_of_any_letters_can_be_presented(self, token: str) -> None:
        on_the_wire = token.encode().decode("latin-1")
        for headers in ({"authorization": f"Bearer {on_the_wire}"}, {"x-wardwright-admin-token": on_the_wire}):
            assert is_admitted(AdminGuard(token), http_scope(headers=headers))

    def test_the_refusal_says_how_to_get_in_and_not_what_was_sent(self) -> None:
        with pytest.raises(Forbidden) as caught:
            AdminGuard(TOKEN).check(http_scope(headers={"authorization": "Bearer almost-right"}))
        assert "x-wardwright-admin-token" in caught.value.message
        assert "almost-right" not in caught.value.message
        assert TOKEN not in caught.value.message
        assert caught.value.code == "protected_endpoint"
