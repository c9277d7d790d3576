"""An ONNX model in tritonserver's Python backend, all requests of an execution in one run."""

import numpy as np
import triton_python_backend_utils as pb_utils
from model import Model


class TritonPythonModel:
    def initialize(self, args):
        self.model = Model()

    def execute(self, requests):
        parts = [pb_utils.get_input_tensor_by_name(request, self.model.input).as_numpy() for request in requests]
        answer = self.model.run(np.concatenate(parts))
        ends = np.cumsum([len(part) for part in parts])[:-1]
        tensors = [pb_utils.Tensor(self.model.output, rows) for rows in np.split(answer, ends)]
        return [pb_utils.InferenceResponse([tensor]) for tensor in tensors]
