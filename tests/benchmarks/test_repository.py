from benchmarks.repository import DEFAULTS, Batching, config_text


def test_everything_said_is_in_the_configuration() -> None:
    text = config_text("mlp", Batching(max_batch_size=8, delay_us=500, instances=2, threads=1))
    assert "max_batch_size: 8" in text
    assert "dynamic_batching { max_queue_delay_microseconds: 500 }" in text
    assert "instance_group [ { kind: KIND_CPU count: 2 } ]" in text
    assert '"intra_op_thread_count" value: { string_value: "1" }' in text


def test_what_is_left_to_the_server_is_not_in_it() -> None:
    text = config_text("mlp", DEFAULTS)
    assert "instance_group" not in text
    assert "parameters" not in text
