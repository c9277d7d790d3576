import weakref
from types import SimpleNamespace
from typing import Any

from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.models.report import StartRow
from despina.models.startup_table import startup_table


class Ready:
    devices = ("CPU",)
    signature = SimpleNamespace(max_batch_size=4)
    instance_count = 2

    def __init__(self, load_seconds: float, config: str) -> None:
        self.load_seconds = load_seconds
        self.config = text_format.Parse(config, ModelConfig())


def test_one_row_for_each_version_with_reasons_below() -> None:
    old: Any = Ready(1.0, "dynamic_batching {}")
    new: Any = Ready(0.1234, "dynamic_batching { preferred_batch_size: [2, 4] max_queue_delay_microseconds: 50 }")
    rows: list[StartRow[Any]] = [
        StartRow("a", 9, "READY", "", weakref.ref(old)),
        StartRow("a", 10, "READY", "", weakref.ref(new)),
        StartRow("b", 1, "UNAVAILABLE", "Internal: no such file\nlook there"),
        StartRow("c", None, "UNAVAILABLE", "not unique"),
    ]
    assert startup_table(rows).splitlines() == [
        "+-------+---------+-------------+--------+-----------+----------------------------+-----------+--------+",
        "| Model | Version | State       | Device | Max batch | Batching                   | Instances | Load s |",
        "+-------+---------+-------------+--------+-----------+----------------------------+-----------+--------+",
        "| a     | 9       | READY       | CPU    | 4         | dynamic                    | 2         | 1.00   |",
        "| a     | 10      | READY       | CPU    | 4         | dynamic [2,4], delay 50 us | 2         | 0.12   |",
        "| b     | 1       | UNAVAILABLE |        |           |                            |           |        |",
        "|   Internal: no such file",
        "|   look there",
        "| c     |         | UNAVAILABLE |        |           |                            |           |        |",
        "|   not unique",
        "+-------+---------+-------------+--------+-----------+----------------------------+-----------+--------+",
    ]


def test_without_models_the_table_is_its_head() -> None:
    assert len(startup_table([]).splitlines()) == 4
