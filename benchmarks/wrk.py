"""wrk as a second opinion on the harness's own generator (Debian: apt-get install wrk). Closed loop only."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.latencies import Latencies
from benchmarks.measurement import Load
from benchmarks.processes import children_cpu_s

SCRIPT = """\
local file = io.open("%s", "rb")
local body = file:read("*a")
file:close()

function request() return body end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"answered":%%d,"refused":%%d,"seconds":%%f,"errors":%%d,',
    summary.requests, e.status, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
  io.write(string.format('"latencies":[%%f,%%f,%%f,%%f,%%f]}\\n',
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end
"""


def available() -> bool:
    return shutil.which("wrk") is not None


def script(request: Path) -> str:
    """The Lua that sends one rendered request again and again."""
    return SCRIPT % request


def generate(
    port: int, connections: int, seconds: float, requests: Sequence[Path], rate: float = 0.0, seed: int = 1
) -> Load:
    """Send the first request on all connections, closed loop. wrk only knows whole seconds, so at least one."""
    assert not rate, "wrk knows no open loop"
    lua = requests[0].with_suffix(".lua")
    lua.write_text(script(requests[0]))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(lua)]
    before = children_cpu_s()
    done = subprocess.run([*command, f"http://127.0.0.1:{port}"], check=True, stdout=subprocess.PIPE, text=True)
    return read_load(done.stdout, children_cpu_s() - before)


def read_load(output: str, cpu_seconds: float) -> Load:
    """From the line the script printed."""
    (line,) = [line for line in output.splitlines() if line.startswith("RESULT ")]
    told: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return Load(
        completed=told["answered"] - told["refused"],
        answered=told["answered"],
        seconds=told["seconds"],
        errors=told["errors"],
        cpu_seconds=cpu_seconds,
        latencies=Latencies(*told["latencies"]),
    )
