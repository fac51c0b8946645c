"""Certificates for tests, by an authority that is made for the occasion and that no system trusts."""

import datetime
import ssl
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Pair(NamedTuple):
    """The files of a certificate and its key, as PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates, whose files are in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._made = trustme.CA()
        self.file = folder / "ca.pem"
        self._made.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str, *, expired: bool = False, password: bytes | None = None) -> Pair:
        """A certificate for a name or an address; its key may be encrypted with a password."""
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        made = self._made.issue_cert(name, not_after=yesterday if expired else None)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}-key.pem")
        pair.certificate.write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
        key = load_pem_private_key(made.private_key_pem.bytes(), None)
        kept = NoEncryption() if password is None else BestAvailableEncryption(password)
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept))
        return pair

    def server_context(self, name: str = "127.0.0.1", *, expired: bool = False, asks: bool = False) -> ssl.SSLContext:
        """What a server speaks TLS by. It may ask for a certificate of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.file)
        context.load_cert_chain(*self.issue(name, expired=expired))
        context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
        return context
