"""The identity of a sandbox as its supervisor holds it: a key that is born here, and what Auth makes of it."""

from __future__ import annotations

import ssl

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandgate.auth.v1 import auth_pb2, auth_pb2_grpc

TIMEOUT_SECONDS = 20


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


class SupervisorIdentity:
    """Enrols when it is made. The key never leaves it."""

    def __init__(self, enrolment: grpc.Channel, sandbox_id: str, bootstrap_token: str) -> None:
        self.sandbox_id = sandbox_id
        self._key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(self._key, hashes.SHA256())
        response = auth_pb2_grpc.AuthServiceStub(enrolment).IssueSandboxToken(
            auth_pb2.IssueSandboxTokenRequest(
                sandbox_id=sandbox_id,
                certificate_signing_request=request.public_bytes(serialization.Encoding.DER),
            ),
            metadata=bearer(bootstrap_token),
            timeout=TIMEOUT_SECONDS,
        )
        self._credentials = response.credentials

    @property
    def token(self) -> str:
        """Goes with every call, on a connection with the certificate: it counts nowhere else."""
        return self._credentials.token

    def channel_credentials(self, service_ca: bytes) -> grpc.ChannelCredentials:
        chain = "".join(ssl.DER_cert_to_PEM_cert(der) for der in self._credentials.certificate_chain)
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return grpc.ssl_channel_credentials(service_ca, key, chain.encode())

    def refresh(self, channel: grpc.Channel) -> None:
        """Takes a new certificate and token for the same key. The token that it was asked with is worth nothing from now on."""
        response = auth_pb2_grpc.AuthServiceStub(channel).RefreshSandboxToken(
            auth_pb2.RefreshSandboxTokenRequest(sandbox_id=self.sandbox_id),
            metadata=bearer(self.token),
            timeout=TIMEOUT_SECONDS,
        )
        self._credentials = response.credentials
