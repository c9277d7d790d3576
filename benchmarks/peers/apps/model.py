"""The model as every peer runs it: ONNX Runtime, one intra-op thread, on the file named by MODEL_FILE."""

import os

import numpy as np
import numpy.typing as npt
import onnxruntime as ort


class Model:
    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(os.environ["MODEL_FILE"], options, providers=["CPUExecutionProvider"])
        self.input = self._session.get_inputs()[0].name
        self.output = self._session.get_outputs()[0].name

    def run(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[rows, ...] to [rows, ...]"""
        answer: npt.NDArray[np.float32] = self._session.run([self.output], {self.input: rows})[0]
        return answer
