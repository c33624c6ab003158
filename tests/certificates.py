"""Certificates for tests of TLS: of a broker, a registry, their clients."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Certificates:
    """Files of a certificate authority that nobody else believes. A file holds the key and then its certificate."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)
        self.server_file = self._issue("server", "127.0.0.1")

    def client_file(self, name: str, key_password: str | None = None) -> Path:
        """Of a client with this common name."""
        return self._issue(name, f"{name}.example.org", common_name=name, key_password=key_password)

    def _issue(
        self, name: str, *identities: str, common_name: str | None = None, key_password: str | None = None
    ) -> Path:
        issued = self._ca.issue_cert(*identities, common_name=common_name)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        how = BestAvailableEncryption(key_password.encode()) if key_password else NoEncryption()
        pem = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)]  # Java reads no other form
        pem += [blob.bytes() for blob in issued.cert_chain_pems]
        file = self._folder / f"{name}.pem"
        file.write_bytes(b"".join(pem))
        return file
