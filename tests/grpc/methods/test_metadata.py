import pytest
from tests.support.grpc_methods import ask_method

from despina import __version__
from despina.errors import DespinaError, InvalidArgument, NotFound
from despina.http.endpoints.metadata import EXTENSIONS
from despina.server import Server


async def test_the_server_tells_its_name_version_and_extensions(server: Server) -> None:
    answer = await ask_method(server, "ServerMetadata")
    assert (answer.name, answer.version, tuple(answer.extensions)) == ("ours", __version__, EXTENSIONS)


async def test_shapes_begin_with_the_batch_dimension(server: Server) -> None:
    answer = await ask_method(server, "ModelMetadata", name="add_sub_int32")
    assert (answer.name, answer.platform) == ("add_sub_int32", "onnxruntime_onnx")
    assert [(i.name, i.datatype, list(i.shape)) for i in answer.inputs] == [
        ("INPUT0", "INT32", [-1, 16]),
        ("INPUT1", "INT32", [-1, 16]),
    ]
    assert [(o.name, o.datatype, list(o.shape)) for o in answer.outputs] == [
        ("OUTPUT0", "INT32", [-1, 16]),
        ("OUTPUT1", "INT32", [-1, 16]),
    ]


@pytest.mark.parametrize(("version", "versions"), [("", ["1", "2", "3"]), ("2", ["2"]), (" +02x", ["2"])])
async def test_a_version_is_described_alone(server: Server, version: str, versions: list[str]) -> None:
    answer = await ask_method(server, "ModelMetadata", name="multi_all", version=version)
    assert list(answer.versions) == versions


async def test_the_configuration_is_that_of_the_model(server: Server) -> None:
    answer = await ask_method(server, "ModelConfig", name="add_sub_int32", version="1")
    assert answer.config.SerializeToString() == server.models.get("add_sub_int32", 1).config.SerializeToString()
    assert answer.config.max_batch_size == 8


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig"])
@pytest.mark.parametrize(
    ("name", "version", "kind", "message"),
    [
        ("nope", "", NotFound, "Request for unknown model: 'nope' is not found"),
        ("", "", NotFound, "Request for unknown model: '' is not found"),
        ("add%5Fsub_int32", "", NotFound, "Request for unknown model: 'add%5Fsub_int32' is not found"),
        ("multi_all", "9", NotFound, "Request for unknown model: 'multi_all' version 9 is not found"),
        (
            "nope",
            "-1",
            InvalidArgument,
            "invalid model version specified '-1' , version should be an integral value > 0",
        ),
    ],
)
async def test_what_is_not_served_is_not_described(
    server: Server, method: str, name: str, version: str, kind: type[DespinaError], message: str
) -> None:
    with pytest.raises(kind) as raised:
        await ask_method(server, method, name=name, version=version)
    assert raised.value.message == message
