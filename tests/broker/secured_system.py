"""A broker that asks who is there: with a certificate authority of its own, users for every mechanism, and ACLs on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialUpsertion

from deploy.broker import EmbeddedBroker
from deploy.secured import Secured
from streams.security import unsecured_token
from tests.certificates import Certificates

PASSWORD = "k8-not-in-any-log"  # of every user
PLAIN_USERS = ("admin", "publisher", "worker", "payments", "projections", "operator", "nobody")
SCRAM_USERS = ("publisher", "worker", "payments", "operator")


class SecuredBroker:
    """A running broker with secured listeners, and the settings of whoever wants to connect."""

    def __init__(self, broker: EmbeddedBroker, certificates: Certificates, folder: Path) -> None:
        self.broker = broker
        self.certificates = certificates
        self.folder = folder
        self._password_file = folder / "password"
        self._password_file.write_text(PASSWORD + "\n")

    def sasl(self, user: str, mechanism: str = "PLAIN", *, encrypted: bool = True) -> dict[str, str]:
        """The environment of a user who has a password."""
        return {
            **self._sasl_servers(encrypted),
            "PATHWAY_BILLING_SASL_MECHANISM": mechanism,
            "PATHWAY_BILLING_SASL_USERNAME": user,
            "PATHWAY_BILLING_SASL_PASSWORD_FILE": str(self._password_file),
        }

    def oauth(self, user: str, *, encrypted: bool = True) -> dict[str, str]:
        """The environment of a user for whom tokens are made."""
        return {
            **self._sasl_servers(encrypted),
            "PATHWAY_BILLING_SASL_MECHANISM": "OAUTHBEARER",
            "PATHWAY_BILLING_SASL_OAUTH_TEST_SUBJECT": user,
        }

    def token_file(self, user: str) -> dict[str, str]:
        """The environment of a user whose token somebody else keeps fresh in a file."""
        file = self.folder / f"{user}.token"
        file.write_text(unsecured_token(user) + "\n")
        return {
            **self._sasl_servers(encrypted=True),
            "PATHWAY_BILLING_SASL_MECHANISM": "OAUTHBEARER",
            "PATHWAY_BILLING_SASL_OAUTH_TOKEN_FILE": str(file),
        }

    def mutual(self, user: str, *, locked: bool = False) -> dict[str, str]:
        """The environment of a user who has a certificate; its key is encrypted where it is locked."""
        environment = {
            **self._tls_servers("MUTUAL"),
            "PATHWAY_BILLING_SSL_CERTIFICATE_FILE": str(
                self.certificates.client_file(user, PASSWORD if locked else None)
            ),
        }
        return environment | ({"PATHWAY_BILLING_SSL_KEY_PASSWORD_FILE": str(self._password_file)} if locked else {})

    def encrypted(self) -> dict[str, str]:
        """The environment of somebody who is not asked who it is, and wants TLS."""
        return self._tls_servers("ENCRYPTED")

    def _tls_servers(self, listener: str, protocol: str = "SSL") -> dict[str, str]:
        return {
            "PATHWAY_BILLING_BOOTSTRAP_SERVERS": self.broker.secured_servers(listener),
            "PATHWAY_BILLING_SECURITY_PROTOCOL": protocol,
            "PATHWAY_BILLING_SSL_CA_FILE": str(self.certificates.ca_file),
        }

    def _sasl_servers(self, encrypted: bool) -> dict[str, str]:
        if encrypted:
            return self._tls_servers("SECURED", "SASL_SSL")
        return {
            "PATHWAY_BILLING_BOOTSTRAP_SERVERS": self.broker.secured_servers("LOGIN"),
            "PATHWAY_BILLING_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        }


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Starts in some four seconds."""
    certificates = Certificates(folder / "certificates")
    secured = Secured(certificates.server_file, certificates.ca_file, dict.fromkeys(PLAIN_USERS, PASSWORD))
    with EmbeddedBroker(folder / "broker", heap_mb=256, secured=secured) as broker:
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin:
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                made = admin.alter_user_scram_credentials(
                    [UserScramCredentialUpsertion(user, mechanism, PASSWORD) for user in SCRAM_USERS]
                )
                assert not any(made.values()), made
        yield SecuredBroker(broker, certificates, folder)
