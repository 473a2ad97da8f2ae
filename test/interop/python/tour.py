"""A sandbox's life in five steps: enrol, renew, be refused with a used token, connect, and an operator who watches it.

Reads where to go as JSON from standard input, because it holds a bootstrap token; prints what happened as JSON.
"""

import dataclasses
import json
import pathlib
import sys
import threading
from collections.abc import Iterator

import grpc

from refusal import refusal_of
from sandgate.auth.v1 import auth_pb2, auth_pb2_grpc
from sandgate.sandbox.v1 import sandbox_pb2, sandbox_pb2_grpc
from supervisor import TIMEOUT_SECONDS, SupervisorIdentity, bearer


def dial(way: dict[str, str], credentials: grpc.ChannelCredentials) -> grpc.Channel:
    # a Unix socket has no name of its own: say which name the server's certificate must carry
    return grpc.secure_channel(way["address"], credentials, [("grpc.ssl_target_name_override", way["serverName"])])


def connect(
    sandbox: sandbox_pb2_grpc.SandboxServiceStub,
    identity: SupervisorIdentity,
    incarnation: int,
    done: threading.Event,
) -> grpc.Call:
    """Says that the sandbox is up and confined, on a stream that lasts until `done`."""

    def messages() -> Iterator[sandbox_pb2.ConnectSupervisorRequest]:
        about = {"sandbox_id": identity.sandbox_id}
        hello = sandbox_pb2.SupervisorHello(incarnation=incarnation, version="interop")
        yield sandbox_pb2.ConnectSupervisorRequest(hello=hello, **about)
        check = sandbox_pb2.ConfinementCheck(name="network", confined=True)
        yield sandbox_pb2.ConnectSupervisorRequest(
            confinement=sandbox_pb2.ConfinementReport(checks=[check]), **about
        )
        done.wait()

    return sandbox.ConnectSupervisor(messages(), metadata=bearer(identity.token))


def watch_until_ready(sandbox: sandbox_pb2_grpc.SandboxServiceStub, name: str) -> list[str]:
    """The phases that a sandbox goes through on its way to READY."""
    phases: list[str] = []
    watching = sandbox.WatchSandbox(sandbox_pb2.WatchSandboxRequest(sandbox=name), timeout=TIMEOUT_SECONDS)
    for response in watching:
        phases.append(sandbox_pb2.Phase.Name(response.sandbox.phase))
        if response.sandbox.phase == sandbox_pb2.PHASE_READY:
            watching.cancel()
            break
    return phases


def main(plan: dict) -> dict:
    service_ca = pathlib.Path(plan["serviceCaFile"]).read_bytes()
    told: dict = {}

    with dial(plan["enrol"], grpc.ssl_channel_credentials(service_ca)) as channel:
        identity = SupervisorIdentity(channel, plan["sandboxId"], plan["bootstrapToken"])

    with dial(plan["auth"], identity.channel_credentials(service_ca)) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        request = auth_pb2.GetPrincipalRequest()
        principal = auth.GetPrincipal(request, metadata=bearer(identity.token), timeout=TIMEOUT_SECONDS)
        told["enrolledAs"] = principal.spiffe_id

        used = identity.token
        identity.refresh(channel)
        told["isNewToken"] = identity.token != used
        try:
            auth.GetPrincipal(request, metadata=bearer(used), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            told["usedToken"] = dataclasses.asdict(refusal_of(error))

    operator = grpc.ssl_channel_credentials(
        service_ca,
        pathlib.Path(plan["operator"]["keyFile"]).read_bytes(),
        pathlib.Path(plan["operator"]["certificateFile"]).read_bytes(),
    )
    done = threading.Event()
    with (
        dial(plan["sandbox"], identity.channel_credentials(service_ca)) as as_supervisor,
        dial(plan["operator"], operator) as as_operator,
    ):
        # the certificate is the renewed one
        connection = connect(sandbox_pb2_grpc.SandboxServiceStub(as_supervisor), identity, plan["incarnation"], done)
        told["firstCommand"] = next(connection).WhichOneof("command")
        by_operator = sandbox_pb2_grpc.SandboxServiceStub(as_operator)
        told["phases"] = watch_until_ready(by_operator, plan["sandboxId"])
        try:
            wrong = sandbox_pb2.CreateSandboxRequest(request_id=plan["requestId"], name="Not A Name")
            by_operator.CreateSandbox(wrong, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            told["badName"] = dataclasses.asdict(refusal_of(error))
        done.set()
        connection.cancel()
    return told


if __name__ == "__main__":
    json.dump(main(json.load(sys.stdin)), sys.stdout)
