"""How busy the GPU was meanwhile, asked of NVML through nvidia-smi, which comes with the driver."""

import shutil
import subprocess
from dataclasses import dataclass
from statistics import mean

PERIOD_MS = 100
QUERY = "--query-gpu=utilization.gpu,memory.used"


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Mean utilisation in percent and the most memory in use, in megabytes, of the first GPU."""

    utilisation: float
    memory_mb: float


class GpuWatch:
    """Samples while the block runs. `use` is None without a GPU, and until the block has ended."""

    def __init__(self) -> None:
        self.use: GpuUse | None = None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "GpuWatch":
        if shutil.which("nvidia-smi"):
            command = ["nvidia-smi", "--id=0", QUERY, "--format=csv,noheader,nounits", f"--loop-ms={PERIOD_MS}"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self.use = read_samples(self._process.communicate()[0])


def read_samples(text: str) -> GpuUse | None:
    """From lines `97, 1234`; the last one may be cut off."""
    samples = [line.split(", ") for line in text.split("\n")[:-1]]
    told = [pair for pair in samples if len(pair) == 2 and all(cell.strip().isdigit() for cell in pair)]
    numbers = [(float(busy), float(memory)) for busy, memory in told]
    if not numbers:
        return None
    return GpuUse(mean(busy for busy, _memory in numbers), max(memory for _busy, memory in numbers))
