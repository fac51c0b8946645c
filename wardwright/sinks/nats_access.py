"""How servers of NATS are spoken to: what they are shown, so that they know us, and over which TLS."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from wardwright.ports.sink import SinkUnavailable
from wardwright.sinks.nkeys import Credentials, UserKey, parse_credentials
from wardwright.sinks.tls import TlsFiles


class Access(NamedTuple):
    """The variables that hold a token, or a name and a password, or the seed of an nkey; or the file of credentials. At most one of these.

    With `tls_first` the server waits for TLS before it says a word.
    """

    token_env: str | None = None
    user_env: str | None = None
    password_env: str | None = None
    nkey_env: str | None = None
    credentials_file: str | None = None
    tls: TlsFiles = TlsFiles()
    tls_first: bool = False

    def words(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Token, user and password, by the client library's names. Raises: SinkUnavailable when a variable is not set."""
        variables = {"token": self.token_env, "user": self.user_env, "password": self.password_env}
        return {name: _value_of(variable, environ) for name, variable in variables.items() if variable is not None}

    def credentials(self, environ: Mapping[str, str]) -> Credentials | None:
        """What is signed with, if anything is. Raises: SinkUnavailable when it is not there or is none."""
        try:
            if self.nkey_env is not None:
                return Credentials(UserKey(_value_of(self.nkey_env, environ)))
            if self.credentials_file is not None:
                return parse_credentials(Path(self.credentials_file).read_text(encoding="utf-8"))
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise SinkUnavailable(f"credentials_file: {self.credentials_file} cannot be read: {why}") from error
        except ValueError as error:
            where = f"credentials_file: {self.credentials_file}"
            why = "is no text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise SinkUnavailable(
                f"{where if self.nkey_env is None else f'the variable {self.nkey_env}'} {why}"
            ) from error
        return None

    def advice(self) -> str:
        """What to look at when a server does not let us in."""
        given = [f"the variable {variable}" for variable in self[:4] if variable is not None]
        if self.credentials_file is not None:
            given.append(f"the file {self.credentials_file}")
        if given:
            return f"it does not accept what it is shown by {' and '.join(str(one) for one in given)}"
        return "it asks who we are, which token_env, user_env with password_env, nkey_env or credentials_file would say"


def _value_of(variable: str, environ: Mapping[str, str]) -> str:
    value = environ.get(variable, "").strip()
    if not value:
        raise SinkUnavailable(f"the variable {variable} is not set, which the servers are to be shown")
    return value
