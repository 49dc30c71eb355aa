"""TLS of the links: version 1.3 only, a certificate per start, trust by fingerprint alone.

Certificates say nothing about who a node is. The listening side's certificate names the
encrypted channel, and the handshake has both node keys sign its fingerprint
(docs/protocol/wire.md), so nobody in between can take part in it unnoticed.
"""

import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

FINGERPRINT_SIZE: Final = 32
# Nobody looks at the dates; these are far apart so that no checker of TLS stumbles over them.
_NOT_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
_LIFETIME: Final = timedelta(days=36_500)


def fingerprint_of(certificate: bytes) -> bytes:
    """SHA-256 of a certificate in DER, 32 bytes."""
    return sha256(certificate).digest()


def listening_context() -> tuple[ssl.SSLContext, bytes]:
    """What a listening node encrypts with, and the fingerprint of its fresh certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chain-node")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_BEFORE + _LIFETIME)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # no session is resumed: each link sees the certificate
    # OpenSSL takes certificates from files only; the folder is the process's own and short-lived.
    with TemporaryDirectory(prefix="chain-node-tls-") as folder:
        path = Path(folder) / "pair.pem"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        context.load_cert_chain(path)
    return context, fingerprint_of(certificate.public_bytes(Encoding.DER))


def dialling_context() -> ssl.SSLContext:
    """What a dialling node encrypts with; whom it speaks to is proved by the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
