import gc

from despina.models.report import StartReport, StartRow


def test_the_table_names_model_version_and_status():
    report = StartReport(
        (StartRow("good", 1, "READY", ""), StartRow("worse", None, "UNAVAILABLE", "no file")), (("worse", "no file"),)
    )
    assert report.table().splitlines() == [
        "+-------+---------+----------------------+",
        "| Model | Version | Status               |",
        "+-------+---------+----------------------+",
        "| good  | 1       | READY                |",
        "| worse |         | UNAVAILABLE: no file |",
        "+-------+---------+----------------------+",
    ]
    assert not report.succeeded
    assert StartReport(()).succeeded


def test_a_report_does_not_keep_models_alive():
    import weakref

    class Model:
        pass

    model = Model()
    row = StartRow("m", 1, "READY", "", weakref.ref(model))
    assert row.model is model
    del model
    gc.collect()
    assert row.model is None
