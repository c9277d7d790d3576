"""PyTriton as its users have it: a function of this process bound to a model of a tritonserver it starts.

pytriton_identity.py PORT WIDTH
"""

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


@batch
def identity(x):
    return {"y": x}


if __name__ == "__main__":
    port, width = int(sys.argv[1]), int(sys.argv[2])
    settings = TritonConfig(http_port=port, http_address="127.0.0.1", allow_grpc=False, allow_metrics=False)
    shape = (width,)
    with Triton(config=settings) as triton:
        triton.bind(
            model_name="identity",
            infer_func=identity,
            inputs=[Tensor(name="x", dtype=np.float32, shape=shape)],
            outputs=[Tensor(name="y", dtype=np.float32, shape=shape)],
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()
