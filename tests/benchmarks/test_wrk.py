from pathlib import Path

from benchmarks.wrk import read_load, script


def test_the_script_reads_the_request_it_sends() -> None:
    assert script(Path("/somewhere/request")).startswith('local file = io.open("/somewhere/request", "rb")\n')


def test_the_result_is_the_line_the_script_prints() -> None:
    result = '{"answered":31,"refused":1,"seconds":2.0,"errors":2,"latencies":[1.0,2.0,3.0,4.0,5.0]}'
    load = read_load(f"Running 1s test\nRESULT {result}\n", 0.25)
    assert (load.per_second, load.errors, load.latencies.p99, load.cpu_seconds) == (15.0, 2, 3.0, 0.25)
    assert load.answered == 31
