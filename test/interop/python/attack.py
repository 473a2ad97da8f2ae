"""Makes calls that others describe: a JSON object in each line of standard input, an answer in each line of standard output.

It is the attacker, so it checks nothing before it sends. Requests are of the generated messages, calls of the generated stubs.
"""

import dataclasses
import json
import sys
import threading
from collections.abc import Iterator

import grpc
from google.protobuf import json_format, message_factory

from refusal import refusal_of
from sandgate.auth.v1 import auth_pb2, auth_pb2_grpc
from sandgate.policy.v1 import policy_pb2, policy_pb2_grpc
from sandgate.sandbox.v1 import sandbox_pb2, sandbox_pb2_grpc

TIMEOUT_SECONDS = 20

STUBS = {
    "sandgate.auth.v1.AuthService": auth_pb2_grpc.AuthServiceStub,
    "sandgate.policy.v1.PolicyService": policy_pb2_grpc.PolicyServiceStub,
    "sandgate.sandbox.v1.SandboxService": sandbox_pb2_grpc.SandboxServiceStub,
}
SERVICES = {
    service.full_name: service
    for module in (auth_pb2, policy_pb2, sandbox_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}


def dial(row: dict) -> grpc.Channel:
    certificate, key = row.get("certificate"), row.get("key")
    credentials = grpc.ssl_channel_credentials(
        row["serviceCa"].encode(), key and key.encode(), certificate and certificate.encode()
    )
    return grpc.secure_channel(row["address"], credentials, [("grpc.ssl_target_name_override", row["serverName"])])


def call(channel: grpc.Channel, row: dict) -> None:
    """Returns when the call is let through: a unary one with its response, a stream with its first or with its end."""
    service_name, method_name = row["method"].split("/")
    method = SERVICES[service_name].methods_by_name[method_name]
    make = message_factory.GetMessageClass(method.input_type)
    messages = [json_format.ParseDict(request, make()) for request in row["requests"]]
    done = threading.Event()

    def sent() -> Iterator:
        yield from messages
        if method.server_streaming:  # a client that keeps its side open
            done.wait()

    request = sent() if method.client_streaming else messages[0]
    invoke = getattr(STUBS[service_name](channel), method_name)
    try:
        response = invoke(request, metadata=list(row["headers"].items()), timeout=TIMEOUT_SECONDS)
        if method.server_streaming:
            next(response, None)
            response.cancel()
    finally:
        done.set()


def answer(row: dict) -> dict:
    with dial(row) as channel:
        try:
            call(channel, row)
        except grpc.RpcError as error:
            return dataclasses.asdict(refusal_of(error))
    return {"code": "OK"}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
