"""TLS as sinks speak it: whom they trust, as whom they show themselves, and what went wrong, with the key of the configuration that decides it.

Files are read whenever a sink is opened: a certificate that was renewed is used after the next failure, at the latest when the old one is refused.
"""

import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from wardwright.ports.sink import SinkUnavailable

_EXPIRED, _NOT_YET_VALID = 10, 9  # what OpenSSL calls the faults of a certificate
_UNKNOWN_ISSUERS = {2, 18, 19, 20, 21}
_OTHER_NAMES = {62, 64}
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
_ABOUT_OURS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")  # in the names of alerts by which the far side refuses one


class TlsFiles(NamedTuple):
    """Paths of PEM files: the authorities that are trusted, instead of the system's, and the certificate to be shown with its key.

    The key may be in the certificate's file; `key_password_env` names the variable with the password it is encrypted with.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password_env: str | None = None

    def key_password(self, environ: Mapping[str, str]) -> str | None:
        """The password, None when there is to be none. Raises: SinkUnavailable when its variable is not set."""
        if self.key_password_env is None:
            return None
        value = environ.get(self.key_password_env, "").strip()
        if not value:
            raise SinkUnavailable(
                f"the variable {self.key_password_env} is not set, which key_file is to be opened with"
            )
        return value


def context_of(files: TlsFiles, environ: Mapping[str, str]) -> ssl.SSLContext:
    """What connections are secured by. Raises: SinkUnavailable, which names the key of the file that is of no use."""
    if files == TlsFiles():
        return _trusting_the_system()
    _see("ca_file", files.ca)
    _see("certificate_file", files.certificate)
    _see("key_file", files.key)
    try:
        context = ssl.create_default_context(cafile=files.ca)
    except ssl.SSLError as error:
        raise SinkUnavailable(f"ca_file: {files.ca} has no certificate in PEM") from error
    if files.certificate is not None:
        password = files.key_password(environ)
        try:
            # Without a function to ask, OpenSSL would ask at the terminal.
            context.load_cert_chain(files.certificate, files.key, lambda: password or "")
        except ssl.SSLError as error:
            raise SinkUnavailable(_fault_of_pair(files, error)) from error
    return context


def tls_fault(error: ssl.SSLError) -> str:
    """What is wrong between us and the far side, `it`, in words."""
    reason = str(error.reason or "")
    if isinstance(error, ssl.SSLCertVerificationError):
        return certificate_fault(error.verify_code, error.verify_message)
    if reason in _NO_TLS:
        return "it does not speak TLS there"
    if "ALERT" in reason and any(word in reason for word in _ABOUT_OURS):
        return f"{REFUSES_OURS} ({_spelled(reason)})"
    return f"TLS failed ({_spelled(reason) or 'closed'})"


REFUSES_OURS = "it asks for a certificate that it knows, which is for certificate_file to give"


def certificate_fault(code: int, message: str) -> str:
    """What is wrong with the far side's certificate, by OpenSSL's code and words."""
    if code == _EXPIRED:
        return "its certificate has expired"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet"
    if code in _UNKNOWN_ISSUERS:
        return f"its certificate is of no authority that is trusted here, which is for ca_file to say ({message})"
    if code in _OTHER_NAMES:
        return f"its certificate is for another name ({message})"
    return f"its certificate is refused ({message})"


def _see(key: str, path: str | None) -> None:
    """See that a file can be read: what loads two of them does not say which it could not."""
    if path is None:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise SinkUnavailable(f"{key}: {path} cannot be read: {error.strerror or type(error).__name__}") from error


def _fault_of_pair(files: TlsFiles, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "key_file: is not the key of the certificate in certificate_file"
    advice = "key_password_env" if files.key_password_env is None else f"the variable {files.key_password_env}"
    return (
        f"certificate_file: {files.certificate} and {files.key or 'it'} are no certificate and its key in PEM, "
        f"or the key is encrypted with another password than {advice} says"
    )


def _spelled(reason: str) -> str:
    return reason.lower().replace("_", " ")


@cache
def _trusting_the_system() -> ssl.SSLContext:
    """Made once: it takes tens of milliseconds of computing, and a sink that is down is opened often."""
    return ssl.create_default_context()
