"""Which texts are addresses, and which addresses only this machine can reach."""

import pytest

from wardwright.config.address import Address, parse_bind


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8791", Address("127.0.0.1", 8791), True),
        ("127.8.8.8:0", Address("127.8.8.8", 0), True),
        ("localhost:8791", Address("localhost", 8791), True),
        ("LOCALHOST:1", Address("LOCALHOST", 1), True),
        ("[::1]:8791", Address("::1", 8791), True),
        ("[::]:8791", Address("::", 8791), False),
        ("0.0.0.0:80", Address("0.0.0.0", 80), False),
        ("gateway.example:65535", Address("gateway.example", 65535), False),
    ],
)
def test_host_and_port_make_an_address(text: str, address: Address, loopback: bool) -> None:
    assert parse_bind(text) == address
    assert address.is_loopback == loopback


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8791",
        ":8791",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "::1:8791",
        "[nope]:1",
        "[1:2]:80",
        "a b:1",
        "127.0.0.1:8791\n",
        "http://127.0.0.1:8791",
        "127.0.0.1:\u0663",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_bind(text) is None
