import pytest

from despina.grpc.messages import message_class
from despina.grpc.wire import field_head


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 70000])
def test_a_field_is_written_as_protobuf_writes_it(size: int) -> None:
    message = message_class("ModelInferResponse")(raw_output_contents=[bytes(size)])
    assert field_head(6, size) + bytes(size) == message.SerializeToString()


def test_sizes_beyond_all_memory() -> None:
    assert field_head(2, (1 << 31) - 1) == b"\x12\xff\xff\xff\xff\x07"
