"""Security settings: what is read from the environment, what is refused, and that secrets stay where they are."""

import asyncio
import base64
import json
import threading
from pathlib import Path

import pytest
import trustme
from aiokafka.errors import KafkaConnectionError
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from streams.security import (
    MECHANISMS,
    PLAINTEXT,
    SecuritySettingsError,
    denial,
    kafka_python_client,
    security_from_environment,
    unsecured_token,
)

SECRET = "hunter2-in-a-file"


def settings(**named: object) -> dict[str, str]:
    return {f"PATHWAY_BILLING_{name}": str(value) for name, value in named.items()}


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text(SECRET + "\n")
    return tmp_path / "password"


def test_without_settings_nothing_is_secured() -> None:
    assert security_from_environment({"PATHWAY_BILLING_SASL_MECHANISM": ""}) == PLAINTEXT
    assert PLAINTEXT.kafka_python() == PLAINTEXT.aiokafka() == {"security_protocol": "PLAINTEXT"}
    assert PLAINTEXT.faust() is None
    assert not PLAINTEXT.authenticated


@pytest.mark.parametrize("mechanism", MECHANISMS[:3])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_password_from_a_file_reaches_every_client_and_no_repr(
    mechanism: str, protocol: str, password_file: Path
) -> None:
    security = security_from_environment(
        settings(
            SECURITY_PROTOCOL=protocol,
            SASL_MECHANISM=mechanism,
            SASL_USERNAME="ann",
            SASL_PASSWORD_FILE=password_file,
        )
    )
    for arguments in (security.kafka_python(), security.aiokafka()):
        assert arguments["security_protocol"] == protocol
        assert arguments["sasl_mechanism"] == mechanism
        assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("ann", SECRET)
        assert ("ssl_context" in arguments) == (protocol == "SASL_SSL")
    credentials = security.faust()
    assert (credentials.protocol.value, credentials.mechanism.value) == (protocol, mechanism)
    assert (credentials.username, credentials.password) == ("ann", SECRET)
    assert security.authenticated
    assert SECRET not in repr(security) + repr(credentials)


def test_tokens_are_read_again_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    security = security_from_environment(
        settings(SECURITY_PROTOCOL="SASL_PLAINTEXT", SASL_MECHANISM="OAUTHBEARER", SASL_OAUTH_TOKEN_FILE=file)
    )
    provider = security.kafka_python()["sasl_oauth_token_provider"]
    assert provider.token() == "first"
    file.write_text("second\n")
    assert provider.token() == "second"
    assert "second" not in repr(security)
    other = security.aiokafka()["sasl_oauth_token_provider"]
    assert asyncio.run(other.token()) == "second"
    file.write_text("")  # whoever replaces it is between two steps: aiokafka tries again after an error of its own
    with pytest.raises(KafkaConnectionError, match=r"SASL_OAUTH_TOKEN_FILE: .* is empty"):
        asyncio.run(other.token())
    assert security.faust().oauth_cb is not None


def test_an_unsigned_token_says_who_and_until_when() -> None:
    head, claims, signature = unsecured_token("ann").split(".")
    decoded = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (head, claims)]
    assert decoded[0] == {"alg": "none"}
    assert decoded[1]["sub"] == "ann"
    assert decoded[1]["exp"] > decoded[1]["iat"]
    assert signature == ""


def test_tls_asks_for_a_certificate_that_fits_the_name(ca_file: Path) -> None:
    context = security_from_environment(settings(SECURITY_PROTOCOL="SSL", SSL_CA_FILE=ca_file)).ssl_context
    assert context is not None
    assert context.check_hostname


def test_a_client_is_given_every_broker_and_how_to_connect() -> None:
    given = kafka_python_client(dict, "a:1,b:2", PLAINTEXT, client_id="x")
    assert given["bootstrap_servers"] == ["a:1", "b:2"]
    assert given["client_id"] == "x"
    assert given.items() >= PLAINTEXT.kafka_python().items()


@pytest.mark.parametrize("kind", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_a_client_that_cannot_connect_leaves_no_thread_behind(kind: type) -> None:
    before = set(threading.enumerate())
    with pytest.raises(KafkaError):
        kafka_python_client(kind, "127.0.0.1:1,127.0.0.1:2", PLAINTEXT, bootstrap_timeout_ms=200)
    assert set(threading.enumerate()) <= before


BAD = {
    "an unknown protocol": ({"SECURITY_PROTOCOL": "TLS"}, "SECURITY_PROTOCOL: 'TLS' is none of PLAINTEXT, SSL"),
    "an unknown mechanism": (
        {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "GSSAPI"},
        "SASL_MECHANISM: 'GSSAPI' is none of PLAIN",
    ),
    "no mechanism": ({"SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_MECHANISM must be set"),
    "no user": (
        {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "SASL_PASSWORD": SECRET},
        "SASL_USERNAME or .*SASL_USERNAME_FILE must be set",
    ),
    "no password": (
        {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "ann"},
        "SASL_PASSWORD or .*SASL_PASSWORD_FILE must be set",
    ),
    "a password twice": (
        {
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": "PLAIN",
            "SASL_USERNAME": "ann",
            "SASL_PASSWORD": SECRET,
            "SASL_PASSWORD_FILE": "/x",
        },
        "are both set",
    ),
    "a password for nothing": ({"SASL_PASSWORD": SECRET}, "SASL_PASSWORD: without effect.*SASL_PLAINTEXT or SASL_SSL"),
    "a CA for nothing": (
        {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", "SSL_CA_FILE": "/x"},
        "SSL_CA_FILE: without effect.*SSL or SASL_SSL",
    ),
    "no token": ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"}, "SASL_OAUTH_TOKEN_FILE.*one of"),
    "a missing token file": (
        {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER", "SASL_OAUTH_TOKEN_FILE": "/none"},
        "SASL_OAUTH_TOKEN_FILE: /none cannot be used .No such file",
    ),
    "a missing CA": ({"SECURITY_PROTOCOL": "SSL", "SSL_CA_FILE": "/none"}, "SSL_CA_FILE: /none cannot be used"),
    "a key without a certificate": ({"SECURITY_PROTOCOL": "SSL", "SSL_KEY_FILE": "/k"}, "SSL_KEY_FILE needs"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_setting_is_named_and_no_secret_is_told(what: str) -> None:
    named, expected = BAD[what]
    with pytest.raises(SecuritySettingsError, match=expected) as raised:
        security_from_environment(settings(**named))
    assert SECRET not in str(raised.value)


def test_a_certificate_without_its_key_is_named(ca_file: Path) -> None:
    with pytest.raises(SecuritySettingsError, match=r"SSL_CERTIFICATE_FILE: .*ca\.pem cannot be used"):
        security_from_environment(settings(SECURITY_PROTOCOL="SSL", SSL_CERTIFICATE_FILE=ca_file))


def test_what_is_not_allowed_is_named_for_both_libraries() -> None:
    import aiokafka.errors
    import kafka.errors

    for error in (
        kafka.errors.TopicAuthorizationFailedError("claim-received"),
        aiokafka.errors.TopicAuthorizationFailedError({"claim-received"}),
    ):
        sentence = denial(error, "publishing facts")
        assert sentence is not None
        assert sentence.startswith("Kafka does not allow this user: publishing facts (topic claim-received). ")
        assert "`pathway-billing acls`" in sentence
    assert "(transactional id x)" in str(denial(aiokafka.errors.TransactionalIdAuthorizationFailed("x"), "opening"))
    assert "(cluster)" in str(denial(kafka.errors.ClusterAuthorizationFailedError(), "opening"))
    assert denial(kafka.errors.KafkaTimeoutError("x"), "reading") is None
