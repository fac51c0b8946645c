"""Files that TLS is spoken with: each that is of no use is named by its key, and no password is asked for at a terminal."""

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from wardwright.ports.sink import SinkUnavailable
from wardwright.sinks.tls import TlsFiles, context_of, tls_fault


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def fault(files: TlsFiles, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SinkUnavailable) as caught:
        context_of(files, environ or {})
    return str(caught.value)


def test_files_that_are_not_there_are_named(authority: Authority) -> None:
    certificate, key = (str(file) for file in authority.issue("us"))
    assert fault(TlsFiles(ca="/nowhere")).startswith("ca_file: /nowhere cannot be read: No such file")
    assert fault(TlsFiles(certificate="/nowhere", key=key)).startswith("certificate_file: /nowhere cannot")
    assert fault(TlsFiles(certificate=certificate, key="/nowhere")).startswith("key_file: /nowhere cannot be read")


def test_files_that_are_something_else_are_named(authority: Authority) -> None:
    certificate, key = (str(file) for file in authority.issue("us"))
    _, other = authority.issue("them")
    assert fault(TlsFiles(ca=key)) == f"ca_file: {key} has no certificate in PEM"
    assert "no certificate and its key in PEM" in fault(TlsFiles(certificate=key, key=certificate))
    assert fault(TlsFiles(certificate=certificate, key=str(other))).startswith("key_file: is not the key of")


def test_an_encrypted_key_is_opened_with_the_password_of_a_variable(authority: Authority) -> None:
    certificate, key = (str(file) for file in authority.issue("us", password=b"hush"))
    files = TlsFiles(str(authority.file), certificate, key, "WORD")
    assert isinstance(context_of(files, {"WORD": "hush"}), ssl.SSLContext)
    assert "another password than the variable WORD says" in fault(files, {"WORD": "else"})
    assert "another password than key_password_env says" in fault(files._replace(key_password_env=None))
    assert fault(files) == "the variable WORD is not set, which key_file is to be opened with"


def test_a_key_may_be_in_the_file_of_its_certificate(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("us")
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    assert isinstance(context_of(TlsFiles(certificate=str(both)), {}), ssl.SSLContext)


def test_what_speaks_no_tls_is_told() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = context_of(TlsFiles(), {}).wrap_bio(incoming, outgoing, server_hostname="far.test")
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        handshake.do_handshake()
    assert tls_fault(caught.value) == "it does not speak TLS there"
