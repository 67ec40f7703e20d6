"""A throw-away certificate authority: the clients of one emulator trust it, and nobody else does."""

import hashlib
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=30)


class Authority:
    """Makes a certificate for each host that a client asks for. Its own key is readable for its owner only."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "azureml-emulator")])
        self._host_key = ec.generate_private_key(ec.SECP256R1())
        self._key = self._load_key(folder / "ca-key.pem")
        self.bundle = folder / "ca.pem"
        if not self.bundle.exists():
            self.bundle.write_bytes(self._authority().public_bytes(Encoding.PEM))

    def _load_key(self, path: Path) -> ec.EllipticCurvePrivateKey:
        """Return the key of before, so that clients that outlive an emulator trust the next one."""
        if path.exists() and time.time() - path.stat().st_mtime < LIFETIME.total_seconds() / 2:
            return cast(ec.EllipticCurvePrivateKey, load_pem_private_key(path.read_bytes(), None))
        (path.parent / "ca.pem").unlink(missing_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        write_secret(path, _pem(key))
        return key

    def context(self, host: str) -> ssl.SSLContext:
        """Return what a server needs to speak TLS as this host."""
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._make_context(host)
            return self._contexts[host]

    def _make_context(self, host: str) -> ssl.SSLContext:
        path = self._folder / f"{hashlib.sha256(host.encode()).hexdigest()[:16]}.pem"
        write_secret(path, _pem(self._host_key) + self._certificate(host).public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        path.unlink()
        return context

    def _authority(self) -> x509.Certificate:
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = self._builder(self._name, self._key.public_key()).add_extension(usage, critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return builder.sign(self._key, hashes.SHA256())

    def _certificate(self, host: str) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:60])])
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = self._builder(name, self._host_key.public_key()).add_extension(names, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        return builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)
