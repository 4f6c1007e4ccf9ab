"""Triton's extensions over gRPC: statistics, model configuration, model repository. The same answers as over HTTP."""

from typing import Any

import msgspec
from google.protobuf.json_format import ParseDict

from inference.errors import UnsupportedFeature
from inference.gateway.catalog import EXTENSIONS, REPOSITORY
from inference.gateway.dataplane import Dataplane
from inference.gateway.grpc.caller import Caller
from inference.gateway.model_config import describe_config
from inference.gateway.oip import check_parameters
from inference.gateway.repository import Repository
from inference.gateway.statistics import Statistics
from inference.protocol.grpc_codec import parse
from inference.protocol.proto import open_inference_pb2 as pb


class Extensions:
    def __init__(self, dataplane: Dataplane, statistics: Statistics, repository: Repository):
        self.dataplane = dataplane
        self.statistics = statistics
        self.repository = repository

    def names(self) -> list[str]:
        """Those that are true here now."""
        return sorted((*EXTENSIONS, REPOSITORY) if self.repository.offered else EXTENSIONS)

    async def model_statistics(self, body: bytes, caller: Caller) -> pb.ModelStatisticsResponse:
        asked = parse(pb.ModelStatisticsRequest, body)
        stats = await self.statistics.read(caller.known(), asked.name, asked.version)
        return filled(pb.ModelStatisticsResponse, {"model_stats": msgspec.to_builtins(stats)})

    async def model_config(self, body: bytes, caller: Caller) -> pb.ModelConfigResponse:
        asked = parse(pb.ModelConfigRequest, body)
        config = describe_config(self.dataplane, caller.known(), asked.name, asked.version)
        return filled(pb.ModelConfigResponse, {"config": config})

    async def repository_index(self, body: bytes, caller: Caller) -> pb.RepositoryIndexResponse:
        asked = parse(pb.RepositoryIndexRequest, body)
        refuse_name(asked.repository_name)
        entries = self.repository.index(caller.known(), asked.ready)
        return filled(pb.RepositoryIndexResponse, {"models": msgspec.to_builtins(entries)})

    async def repository_model_load(self, body: bytes, caller: Caller) -> pb.RepositoryModelLoadResponse:
        asked = parse(pb.RepositoryModelLoadRequest, body)
        refuse_name(asked.repository_name)
        check_parameters(dict(asked.parameters))
        await self.repository.load(caller.known(), asked.model_name, caller.timeout_s())
        return pb.RepositoryModelLoadResponse()

    async def repository_model_unload(self, body: bytes, caller: Caller) -> pb.RepositoryModelUnloadResponse:
        asked = parse(pb.RepositoryModelUnloadRequest, body)
        refuse_name(asked.repository_name)
        check_parameters(dict(asked.parameters))
        await self.repository.unload(caller.known(), asked.model_name, caller.timeout_s())
        return pb.RepositoryModelUnloadResponse()


def filled(kind: type[Any], facts: dict[str, Any]) -> Any:
    """The message that says what the JSON of HTTP says."""
    return ParseDict(facts, kind())


def refuse_name(repository: str) -> None:
    if repository:
        raise UnsupportedFeature("There is one repository, and it has no name: leave repository_name empty.")
