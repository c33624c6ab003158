"""How every client of ours proves to Kafka who it is, and learns that it talks to the right one (docs/security.md).

One value, `Security`, read from the environment, and the two forms in which the client libraries take it. Whatever is secret is
read from a file where `<NAME>_FILE` is set, is in no flag, no log line and no `repr`. These settings are environment variables
alone, so that a secret does not even have a flag where somebody could write it.
"""

import asyncio
import base64
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from streams.header_names import forgive_in_kafka_python

PREFIX = "PATHWAY_BILLING_"

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

_TEST_TOKEN_SECONDS = 3600

_Client = TypeVar("_Client")


class SecuritySettingsError(ValueError):
    """A security setting is missing, contradicts another or cannot be read. The message names it, never a secret."""


@dataclass(frozen=True)
class Security:
    """How to connect. The default is Kafka's own: nothing is encrypted and nobody is asked."""

    protocol: str = "PLAINTEXT"  # of PROTOCOLS
    ca_file: Path | None = None  # PEM; None: whom the operating system trusts
    certificate_file: Path | None = None  # PEM, with its chain: our own, where the brokers ask for one
    key_file: Path | None = None  # PEM; None: in the certificate's file
    key_password: str | None = field(default=None, repr=False)
    mechanism: str | None = None  # of MECHANISMS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: Callable[[], str] | None = field(
        default=None, repr=False
    )  # asked at each connection: tokens are short-lived

    @property
    def encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def authenticated(self) -> bool:
        """Whether brokers know who is there: by SASL, or by our certificate."""
        return self.protocol.startswith("SASL") or self.certificate_file is not None

    @cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS 1.2 or newer; the broker's certificate must be valid for the name that we call it by. None: no encryption.

        Raises SecuritySettingsError where a file cannot be used.
        """
        if not self.encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise _unusable("SSL_CA_FILE", self.ca_file, error) from None
        if self.certificate_file:
            try:
                # a function: with None OpenSSL would ask on the terminal for the password of an encrypted key
                context.load_cert_chain(self.certificate_file, self.key_file, lambda: self.key_password or "")
            except OSError as error:
                named = f"{self.certificate_file}{f' with {self.key_file}' if self.key_file else ''}"
                raise _unusable("SSL_CERTIFICATE_FILE", named, error) from None
        return context

    def kafka_python(self) -> dict[str, Any]:
        """Arguments for kafka-python's consumer, producer and admin client."""
        if self.token is None:
            return self._arguments()
        return {**self._arguments(), "sasl_oauth_token_provider": _for_kafka_python(self.token)}

    def aiokafka(self) -> dict[str, Any]:
        """Arguments for aiokafka's consumer and producer."""
        if self.token is None:
            return self._arguments()
        return {**self._arguments(), "sasl_oauth_token_provider": _for_aiokafka(self.token)}

    def faust(self) -> Any:
        """Faust's setting `broker_credentials`."""
        from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

        if self.protocol == "PLAINTEXT":
            return None
        if self.protocol == "SSL":
            return SSLCredentials(self.ssl_context)
        if self.token is not None:
            return OAuthCredentials(oauth_cb=_for_aiokafka(self.token), ssl_context=self.ssl_context)
        return SASLCredentials(
            username=self.username, password=self.password, ssl_context=self.ssl_context, mechanism=self.mechanism
        )

    def _arguments(self) -> dict[str, Any]:
        """What both libraries call by the same names."""
        arguments: dict[str, Any] = {"security_protocol": self.protocol}
        if self.encrypted:
            arguments["ssl_context"] = self.ssl_context
        if self.mechanism:
            arguments["sasl_mechanism"] = self.mechanism
        if self.username is not None:
            arguments |= {"sasl_plain_username": self.username, "sasl_plain_password": self.password}
        return arguments


PLAINTEXT = Security()
"""Nothing is encrypted and nobody is asked: for a Kafka on the same machine or in a network of its own."""


def security_from_environment(environment: Mapping[str, str] | None = None) -> Security:
    """The security settings as the environment has them. Raises SecuritySettingsError that names a wrong one."""
    given = _Given(os.environ if environment is None else environment)
    protocol = given.choice("SECURITY_PROTOCOL", PROTOCOLS) or "PLAINTEXT"
    mechanism = given.choice("SASL_MECHANISM", MECHANISMS)
    with_sasl, with_tls = protocol.startswith("SASL"), protocol.endswith("SSL")
    if with_sasl and mechanism is None:
        raise SecuritySettingsError(
            f"{PREFIX}SECURITY_PROTOCOL is {protocol}, so {PREFIX}SASL_MECHANISM must be set: {', '.join(MECHANISMS)}."
        )
    given.only_if(with_sasl, protocol, "SASL_")
    given.only_if(with_tls, protocol, "SSL_")
    token = None
    if mechanism == "OAUTHBEARER":
        token = _token(given)
    elif with_sasl:
        for name in ("SASL_USERNAME", "SASL_PASSWORD"):
            if given.secret(name) is None:
                raise SecuritySettingsError(f"{PREFIX}{name} or {PREFIX}{name}_FILE must be set for {mechanism}.")
    security = Security(
        protocol=protocol,
        ca_file=given.path("SSL_CA_FILE"),
        certificate_file=given.path("SSL_CERTIFICATE_FILE"),
        key_file=given.path("SSL_KEY_FILE"),
        key_password=given.secret("SSL_KEY_PASSWORD"),
        mechanism=mechanism,
        username=given.secret("SASL_USERNAME") if token is None else None,
        password=given.secret("SASL_PASSWORD") if token is None else None,
        token=token,
    )
    if security.key_file and not security.certificate_file:
        raise SecuritySettingsError(
            f"{PREFIX}SSL_KEY_FILE needs {PREFIX}SSL_CERTIFICATE_FILE, the certificate of that key."
        )
    _ = security.ssl_context  # files that cannot be used are said now, not at some later connection
    return security


def is_security_variable(name: str) -> bool:
    """Whether an environment variable is a setting of this module."""
    return name.startswith((f"{PREFIX}SECURITY_", f"{PREFIX}SSL_", f"{PREFIX}SASL_"))


def kafka_python_client(
    kind: Callable[..., _Client], bootstrap_servers: str, security: Security | None = None, **settings: Any
) -> _Client:
    """A client of kafka-python, `kind` being KafkaConsumer, KafkaProducer or KafkaAdminClient. Without `security`, it connects as
    the environment says.

    Raises what `kind` raises, and leaves nothing behind then: kafka-python itself (3.0.12) would leave a thread that tries to
    connect for ever, one for each attempt.
    """
    forgive_in_kafka_python()
    chosen = security_from_environment() if security is None else security
    client: Any = kind
    started: list[Any] = []

    def connections(**config: Any) -> Any:
        started.append(client.DEFAULT_CONFIG["kafka_client"](**config))
        return started[-1]

    try:
        return kind(
            bootstrap_servers=bootstrap_servers.split(","),
            kafka_client=connections,
            **chosen.kafka_python(),
            **settings,
        )
    except BaseException:
        for each in started:
            each.close()
        raise


class LoginError(Exception):
    """A broker and we do not come together: one does not believe the other, or they speak differently. The text says what to do."""


def log_in(bootstrap_servers: str, security: Security, timeout_seconds: float) -> bool:
    """Whether any of the brokers lets us in; False where none answers. Raises LoginError where one does not want us.

    The client libraries know the reason, and tell it to their log alone while they try until their time is up.
    """
    return asyncio.run(_log_in(bootstrap_servers, security, timeout_seconds))


def why_refused(bootstrap_servers: str, security: Security, timeout_seconds: float) -> str | None:
    """Why the brokers do not want us, in a sentence, for whoever has waited for them in vain; None where nobody listens. May be
    called where an event loop runs."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            thread.submit(log_in, bootstrap_servers, security, timeout_seconds).result()
        except LoginError as error:
            return str(error)
    return None


async def _log_in(bootstrap_servers: str, security: Security, timeout_seconds: float) -> bool:
    from aiokafka.conn import create_conn
    from aiokafka.errors import KafkaError

    refused: LoginError | None = None
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            async with asyncio.timeout(timeout_seconds):
                connection = await create_conn(
                    host.strip("[]"), int(port), client_id="pathway-billing-login", **security.aiokafka()
                )
        except (OSError, KafkaError, TimeoutError) as error:
            if sentence := _refusal(error, security):
                refused = LoginError(f"Kafka on {server}: {sentence}")
        else:
            await connection.close()
            return True
    if refused:
        raise refused
    return False


def _refusal(error: Exception, security: Security) -> str | None:
    """A sentence, or None where nobody listens."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not believed ({error.verify_message}). Name the authority that signed it with "
            f"{PREFIX}SSL_CA_FILE, and the broker by a name that its certificate has."
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"no TLS connection comes about ({(error.reason or type(error).__name__).replace('_', ' ').lower()}). "
            f"Correct {PREFIX}SECURITY_PROTOCOL or the port."
        )
    name = type(error).__name__
    if "AuthenticationFailed" in name:
        return (
            f"it does not let us in by {security.mechanism}: the user is unknown to it, or the password or token is wrong. "
            f"Correct the {PREFIX}SASL_... settings (docs/security.md)."
        )
    if "UnsupportedSaslMechanism" in name:
        return f"it does not take {security.mechanism}. Set {PREFIX}SASL_MECHANISM to one that it takes."
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        return None
    return (
        f"it closed the connection or did not answer ({name}). It may want another {PREFIX}SECURITY_PROTOCOL than "
        f"{security.protocol}, or a certificate of ours ({PREFIX}SSL_CERTIFICATE_FILE)."
    )


def denial(error: BaseException, doing: str) -> str | None:
    """What Kafka does not allow us, in a sentence, for an error of either client library; None for any other error."""
    kind = type(error).__name__.partition("AuthorizationFailed")[0]
    what = {"Topic": "topic", "Group": "group", "TransactionalId": "transactional id", "Cluster": "cluster"}.get(kind)
    if what is None:
        return None
    names = [str(name) for argument in error.args for name in ([argument] if isinstance(argument, str) else argument)]
    return f"Kafka does not allow this user: {doing} ({' '.join((what, ', '.join(names))).strip()}). {ASK}"


ASK = "`pathway-billing acls` prints what each role must be allowed; ask whoever administrates the Kafka for it."


def perhaps_hidden() -> str:
    """What to add where a topic is missing: a Kafka with ACLs does not tell whether it is there."""
    return f" If it is there, this user must not see it. {ASK}" if security_from_environment().authenticated else ""


def unsecured_token(subject: str) -> str:
    """A token that nobody signed, for tests: Kafka's built-in validator believes it, and no broker with another one does."""
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": subject, "iat": now, "exp": now + _TEST_TOKEN_SECONDS})
    coded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join((*coded, ""))


def _for_kafka_python(make: Callable[[], str]) -> Any:
    """kafka-python's token provider."""
    from kafka.net.sasl.oauth import AbstractTokenProvider

    class Provider(AbstractTokenProvider):  # type: ignore[misc]
        def token(self) -> str:
            return make()

    return Provider()


def _for_aiokafka(make: Callable[[], str]) -> Any:
    """aiokafka's token provider. A file that is being replaced is a connection that cannot be made now: aiokafka tries again,
    while any other error would end the worker."""
    from aiokafka.abc import AbstractTokenProvider
    from aiokafka.errors import KafkaConnectionError

    class Provider(AbstractTokenProvider):  # type: ignore[misc]
        async def token(self) -> str:
            try:
                return make()
            except SecuritySettingsError as error:
                raise KafkaConnectionError(str(error)) from None

    return Provider()


def _token(given: "_Given") -> Callable[[], str]:
    subject, file = given.text("SASL_OAUTH_TEST_SUBJECT"), given.path("SASL_OAUTH_TOKEN_FILE")
    if (subject is None) == (file is None):
        raise SecuritySettingsError(
            f"OAUTHBEARER takes its token from the file {PREFIX}SASL_OAUTH_TOKEN_FILE, read again at each connection; or, for "
            f"tests, makes unsigned ones for {PREFIX}SASL_OAUTH_TEST_SUBJECT. Set one of the two."
        )
    if subject is not None:
        return lambda: unsecured_token(subject)
    assert file is not None, "one of the two is set"
    _read(file, "SASL_OAUTH_TOKEN_FILE")
    return lambda: _read(file, "SASL_OAUTH_TOKEN_FILE")


class _Given:
    """The variables of an environment, by their names without the prefix. An empty one is as if it were not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str | None:
        return self._environment.get(PREFIX + name) or None

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return Path(text) if text else None

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        text = self.text(name)
        if text is not None and text not in allowed:
            raise SecuritySettingsError(f"{PREFIX}{name}: {text!r} is none of {', '.join(allowed)}.")
        return text

    def secret(self, name: str) -> str | None:
        """The variable, or what is in the file that `<NAME>_FILE` names (without the line's end)."""
        text, file = self.text(name), self.path(f"{name}_FILE")
        if text is not None and file is not None:
            raise SecuritySettingsError(
                f"{PREFIX}{name} and {PREFIX}{name}_FILE are both set; keep one, better the file."
            )
        return text if file is None else _read(file, f"{name}_FILE")

    def only_if(self, used: bool, protocol: str, prefix: str) -> None:
        """A setting that would have no effect is a mistake that leaves somebody believing in a protection."""
        named = sorted(name for name, text in self._environment.items() if name.startswith(PREFIX + prefix) and text)
        if named and not used:
            raise SecuritySettingsError(
                f"{', '.join(named)}: without effect, because {PREFIX}SECURITY_PROTOCOL is {protocol}. "
                f"Set that to {' or '.join(p for p in PROTOCOLS if prefix.strip('_') in p.split('_'))}, or remove the others."
            )


def _read(file: Path, name: str) -> str:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(name, file, error) from None
    if not text:
        raise SecuritySettingsError(f"{PREFIX}{name}: {file} is empty.")
    return text


def _unusable(name: str, what: object, error: Exception) -> SecuritySettingsError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "not a PEM file that fits").replace("_", " ").lower()
    return SecuritySettingsError(f"{PREFIX}{name}: {what} cannot be used ({reason}).")
