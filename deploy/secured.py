"""Listeners of the embedded broker that ask who is there, and an authorizer: for tests of clients, roles and their ACLs.

Listeners besides the plain one: `SECURED` speaks TLS and takes SASL PLAIN, SCRAM and OAUTHBEARER (with Kafka's own validator,
which believes tokens that nobody signed: for tests only); `LOGIN` takes the same without TLS; `MUTUAL` takes whoever has a
certificate of the CA, under its common name; `ENCRYPTED` speaks TLS and asks nobody. Who is not asked, there or on the plain
listener on the loopback interface, is ANONYMOUS and may do everything, as the controller must; whoever comes by one of the
others may do what an ACL allows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_SECURITY = "org.apache.kafka.common.security"


class Secured(NamedTuple):
    """What the secured listeners need to know. SCRAM users are made with an admin client."""

    certificate_file: Path  # PEM: the broker's private key (PKCS #8), its certificate and the chain
    ca_file: Path  # PEM: whose clients' certificates are believed
    passwords: Mapping[str, str]  # of SASL PLAIN, by user

    def protocols(self) -> dict[str, str]:
        """The listeners, and what each speaks."""
        return {"SECURED": "SASL_SSL", "LOGIN": "SASL_PLAINTEXT", "MUTUAL": "SSL", "ENCRYPTED": "SSL"}

    def properties(self) -> dict[str, object]:
        """Kafka's settings for them, and for the authorizer."""
        users = " ".join(f'user_{user}="{password}"' for user, password in self.passwords.items())
        login = {
            "plain": f"{_SECURITY}.plain.PlainLoginModule required {users};",
            "scram-sha-256": f"{_SECURITY}.scram.ScramLoginModule required;",
            "scram-sha-512": f"{_SECURITY}.scram.ScramLoginModule required;",
            "oauthbearer": f'{_SECURITY}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="kafka";',
        }
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.certificate_file,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca_file,
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            **{
                f"listener.name.{listener}.{name}.sasl.jaas.config": config
                for listener in ("secured", "login")
                for name, config in login.items()
            },
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",
        }
