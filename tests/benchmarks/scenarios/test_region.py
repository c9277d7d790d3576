from benchmarks.requests import raw_tensor
from benchmarks.scenarios.region import SIZE, region
from benchmarks.scenarios.scenario import Exchange, Infer


def shared(count: int) -> list[Exchange]:
    return list(Infer("eight", 4, count=count, shared=("IN", "OUT")).exchanges("json"))


def test_inputs_are_written_where_they_are_to_be_read() -> None:
    with region() as memory:
        memory.fill(shared(2))
        content = memory.path.read_bytes()
    for exchange in shared(2):
        for name, tensor in exchange.inputs.items():
            begin = exchange.shared[name]
            assert content[begin : begin + tensor.nbytes] == raw_tensor(tensor)
    assert len(content) == SIZE


def test_outputs_are_what_a_server_wrote_and_before_that_no_tensor() -> None:
    first, second = shared(2)
    with region() as memory:
        memory.fill([first, second])
        with memory.path.open("r+b") as file:
            file.seek(second.shared["OUT3"])
            file.write(raw_tensor(second.outputs["OUT3"]))
        assert set(memory.outputs(first).values()) == {b"\xff" * 16}
        found = memory.outputs(second)
        assert found.pop("OUT3") == raw_tensor(second.outputs["OUT3"])
        assert set(found.values()) == {b"\xff" * 16}
        memory.fill([second])
        assert memory.outputs(second)["OUT3"] == b"\xff" * 16
    assert not memory.path.exists()
