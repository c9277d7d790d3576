"""mosec with its batching on: the bytes of a row to the bytes of its answer, `{"input": row}` to `{"output": row}`."""

import json
from typing import Any

import numpy as np
from model import Model
from mosec import Server, Worker

MAX_BATCH = 64
MAX_WAIT_MS = 1
"""The shortest wait mosec takes."""


class Scorer(Worker):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    def deserialize(self, data: bytes) -> Any:
        # The first byte of JSON is a brace; a row of 256 numbers is longer than its JSON could be short.
        if data[:2] == b'{"':
            return True, np.array(json.loads(data)["input"], np.float32)
        return False, np.frombuffer(data, np.float32)

    def forward(self, data: list[Any]) -> list[Any]:
        answers = self.model.run(np.stack([row for _is_json, row in data]))
        return [(is_json, answer) for (is_json, _row), answer in zip(data, answers, strict=True)]

    def serialize(self, data: Any) -> bytes:
        is_json, answer = data
        return json.dumps({"output": answer.tolist()}).encode() if is_json else answer.tobytes()


if __name__ == "__main__":
    server = Server()
    server.append_worker(Scorer, num=1, max_batch_size=MAX_BATCH, max_wait_time=MAX_WAIT_MS)
    server.run()
