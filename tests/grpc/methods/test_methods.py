"""What the service consists of, and who may restrict it."""

import pytest
from google.protobuf import descriptor_pool

from despina.grpc.methods import METHODS

OF_INFERENCE = {"ModelInfer", "ModelStreamInfer"}


def test_every_method_of_the_service_is_there_but_those_of_inference() -> None:
    service = descriptor_pool.Default().FindServiceByName("inference.GRPCInferenceService")
    expected = {(method.name, method.input_type.full_name) for method in service.methods}
    found = {(method.name, method.request.DESCRIPTOR.full_name) for method in METHODS if "inference" in method.service}
    assert {entry for entry in expected if entry[0] not in OF_INFERENCE} == found


def test_no_path_is_there_twice() -> None:
    paths = [method.path for method in METHODS]
    assert len(set(paths)) == len(paths)
    assert {"/inference.GRPCInferenceService/ModelReady", "/grpc.health.v1.Health/Check"} <= set(paths)


@pytest.mark.parametrize(
    ("category", "names"),
    [
        ("health", {"ServerLive", "ServerReady", "ModelReady", "Check"}),
        ("metadata", {"ServerMetadata", "ModelMetadata"}),
        ("model-config", {"ModelConfig"}),
        ("statistics", {"ModelStatistics"}),
        ("model-repository", {"RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"}),
        ("trace", {"TraceSetting"}),
        ("logging", {"LogSettings"}),
        ("shared-memory", {method.name for method in METHODS if "SharedMemory" in method.name}),
    ],
)
def test_a_restricted_protocol_has_these_methods(category: str, names: set[str]) -> None:
    assert {method.name for method in METHODS if method.category == category} == names
