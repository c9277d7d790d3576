"""Where infer requests that front ends pass on, and their replies, go from a frame into shared memory."""

import numpy as np
import pytest
from tests.support.channels import paired, raising

from despina.errors import InvalidArgument
from despina.http.infer_exchange import InferReply
from despina.http.request_head import InferHead
from despina.http.workers.arena import COPIED_SIZE

HEAD = InferHead("m", None, 0, None, 0)


def body_of(size: int) -> bytes:
    """A request with two numbers."""
    text = b'{"inputs":[{"name":"IN","datatype":"FP32","shape":[1,2],"data":[1,2]}]}'
    return text + b" " * (size - len(text))


@pytest.mark.parametrize("received_there", [True, False])
@pytest.mark.parametrize("size", [COPIED_SIZE, COPIED_SIZE + 1])
async def test_a_request_needs_one_slot_from_one_byte_more_on(size: int, received_there: bool) -> None:
    async with paired() as (pair, model):
        replies: list[InferReply] = []
        body = pair.front.room(size) if received_there else memoryview(bytearray(size))
        body[:] = body_of(size)
        pair.front.exchanges.start(HEAD, body, replies.append)
        assert pair.requests.taken == (received_there or size > COPIED_SIZE)
        del body
        await pair.turn()
        assert model.scheduled[0].inputs["IN"].tolist() == [[1, 2]]
        assert pair.requests.taken == (size > COPIED_SIZE)
        model.scheduled[0].succeed({"OUT": np.zeros((1, 2), "<f4")})
        await pair.turn()
        assert [reply.status for reply in replies] == [200]
        assert pair.requests.taken == pair.results.taken == 0


@pytest.mark.parametrize("size", [COPIED_SIZE, COPIED_SIZE + 1])
async def test_a_reply_needs_a_slot_from_one_byte_more_on(size: int) -> None:
    async with paired() as (pair, model):
        replies: list[InferReply] = []
        model.schedule = raising(InvalidArgument("a" * (size - len('{"error":""}'))))
        pair.front.exchanges.start(HEAD, memoryview(body_of(100)), replies.append)
        await pair.turn()
        (reply,) = replies
        assert (reply.size, len(reply.buffers[0]), bytes(reply.buffers[0])[-3:]) == (size, size, b'a"}')
        assert pair.results.taken == (size > COPIED_SIZE)
        replies.clear()
        del reply
        await pair.turn()
        assert pair.results.taken == 0
