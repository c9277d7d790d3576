import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.models.listed_outputs import with_listed_outputs
from despina_backends.base import Batch, Execution, TensorMetadata


class Backend:
    """Its instance makes what it is asked for, of all its outputs."""

    def __init__(self, *outputs):
        self.outputs = {name: TensorMetadata(name, "FP32", (-1, 1)) for name in outputs}
        self.closed = False

    def execute(self, batch):
        return Execution({name: np.zeros((1, 1)) for name in batch.outputs or self.outputs}, 0, 0)

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("asked", "made"), [(None, ["Y", "NEW"]), (("Y",), ["Y"]), (("NEW", "Y"), ["NEW", "Y"])], ids=["all", "one", "both"]
)
def test_outputs_and_states_of_the_configuration_are_made_and_no_others(asked, made):
    config = text_format.Parse(
        'output { name: "Y" } sequence_batching { state { input_name: "OLD" output_name: "NEW" } }', ModelConfig()
    )
    backend = Backend("Z", "Y", "NEW")
    instance = with_listed_outputs(backend, config, backend)
    assert list(instance.execute(Batch({}, 1, asked)).outputs) == made
    instance.close()
    assert backend.closed


def test_nothing_is_put_around_an_instance_without_other_outputs():
    backend = Backend("Y")
    assert with_listed_outputs(backend, text_format.Parse('output { name: "Y" }', ModelConfig()), backend) is backend
