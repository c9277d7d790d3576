"""MLServer has no runtime for ONNX: this is the small one a user would write."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from model import Model


class OnnxRuntime(MLModel):
    async def load(self) -> bool:
        self.model = Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        answer = self.model.run(rows)
        outputs = [NumpyCodec.encode_output(self.model.output, answer)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
