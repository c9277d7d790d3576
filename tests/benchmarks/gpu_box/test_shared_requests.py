"""The rendered requests against a real server, on the CPU."""

from pathlib import Path

from benchmarks.contender import V2
from benchmarks.gpu_box.measure import FLAGS
from benchmarks.gpu_box.regions import shared_request, system_region
from benchmarks.models import model_file
from benchmarks.raw import make_workload
from benchmarks.verify import verify
from tests.support.serving import serving


def test_every_row_of_a_system_region_gets_its_own_answer(tmp_path: Path) -> None:
    (tmp_path / "mlp" / "1").mkdir(parents=True)
    (tmp_path / "mlp" / "1" / "model.onnx").write_bytes(model_file("mlp").read_bytes())
    (tmp_path / "mlp" / "config.pbtxt").write_text("max_batch_size: 16 dynamic_batching {}")
    workload = make_workload("mlp")
    flags = [flag for flag in FLAGS if "metrics" not in flag]
    with serving(tmp_path, flags) as port, system_region(port, workload):
        requests = [shared_request(workload, "binary", row) for row in range(workload.rows)]
        verify(port, workload, requests, V2.read(workload, "binary"), 4)
