import gc

from despina.models.report import StartReport, StartRow


def test_a_start_succeeds_when_nothing_failed():
    assert StartReport(()).succeeded
    assert not StartReport((StartRow("m", None, "UNAVAILABLE", "no file"),), (("m", "no file"),)).succeeded


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
