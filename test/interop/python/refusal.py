"""Why a call was refused: the google.rpc.ErrorInfo that every error of Sandgate carries."""

import dataclasses

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclasses.dataclass(frozen=True)
class Refusal:
    code: str
    # Empty where the connection itself was refused: then nobody answered.
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


def refusal_of(error: grpc.RpcError) -> Refusal:
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return Refusal(error.code().name, info.reason, info.domain, dict(info.metadata))
    return Refusal(error.code().name)
