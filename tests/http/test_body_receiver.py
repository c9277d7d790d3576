import weakref

import numpy as np

from despina.http.body_receiver import BodyReceiver


class Connection:
    """A lane and its transport."""

    def __init__(self) -> None:
        self.protocol: object = None
        self.body = memoryview(b"")

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def body_complete(self, body: memoryview) -> None:
        self.body = body


def test_a_body_arrives_in_its_place_and_nothing_of_it_stays_behind() -> None:
    connection, room = Connection(), np.empty(6, np.uint8)
    receiver = BodyReceiver(connection, connection, room.data, b"ab")  # type: ignore[arg-type]  # as much of them as it uses
    for piece in (b"cd", b"ef"):
        receiver.get_buffer(-1)[: len(piece)] = piece
        receiver.buffer_updated(len(piece))
    assert (connection.protocol, bytes(connection.body)) == (connection, b"abcdef")
    gone = weakref.ref(room)
    del room
    connection.body = memoryview(b"")
    assert gone() is None
