from despina.telemetry.tables import ModelRow, models_table


def test_models_by_name_and_version_with_reasons_below() -> None:
    rows = [
        ModelRow("b", "1", "UNAVAILABLE", reason="Internal: no such file\nlook there"),
        ModelRow("a", "10", "READY", "CPU", "4", "dynamic", "2", 0.1234),
        ModelRow("a", "9", "READY", "CPU", "4", "dynamic", "2", 1.0),
    ]
    assert models_table(rows).splitlines() == [
        "+-------+---------+-------------+--------+-----------+----------+-----------+--------+",
        "| Model | Version | State       | Device | Max batch | Batching | Instances | Load s |",
        "+-------+---------+-------------+--------+-----------+----------+-----------+--------+",
        "| a     | 9       | READY       | CPU    | 4         | dynamic  | 2         | 1.00   |",
        "| a     | 10      | READY       | CPU    | 4         | dynamic  | 2         | 0.12   |",
        "| b     | 1       | UNAVAILABLE |        |           |          |           |        |",
        "|   Internal: no such file",
        "|   look there",
        "+-------+---------+-------------+--------+-----------+----------+-----------+--------+",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert len(models_table([]).splitlines()) == 4
