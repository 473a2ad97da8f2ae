"""Prints who an operator's certificate makes you.

    python whoami.py ADDRESS PKI_DIRECTORY
"""

import pathlib
import sys

import grpc

from sandgate.auth.v1 import auth_pb2, auth_pb2_grpc


def main(address: str, directory: pathlib.Path) -> None:
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(directory / "service-ca.pem").read_bytes(),
        private_key=(directory / "operator.key.pem").read_bytes(),
        certificate_chain=(directory / "operator.pem").read_bytes(),
    )
    with grpc.secure_channel(address, credentials) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        principal = auth.GetPrincipal(auth_pb2.GetPrincipalRequest(), timeout=10)
    print(principal.spiffe_id)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
