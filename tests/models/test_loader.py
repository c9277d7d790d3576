import asyncio
import sys
import threading
from types import ModuleType

import numpy as np
import pytest

from despina.errors import DespinaError, Internal, InvalidArgument, NotFound, Unavailable, Unsupported
from despina.models.loader import backend_settings, load_version, usable_gpus
from despina.models.model import Model
from despina.models.own_outputs import OwnOutputs
from despina.models.schedulers import SchedulingOptions
from despina.models.source import Source
from despina.scheduling.clock import LoopClock
from despina.scheduling.ensemble_step import StepRequest
from despina.settings import Settings
from despina.telemetry.statistics import ModelStatistics
from despina.telemetry.tracing.settings import TraceSettings
from despina_backends.base import BackendError, Device, Execution, TensorMetadata


class Double:
    """A backend that remembers what was opened and fails where the test says."""

    def __init__(self):
        self.options = None
        self.open = []
        self.fail_instance = None
        self.fail_execute = False
        self.executed = set()
        self.ran_on = []
        self.inputs = {"X": TensorMetadata("X", "FP32", (-1, 2))}
        self.outputs = {"Y": TensorMetadata("Y", "FP32", (-1, 2))}

    def load(self, options):
        self.options = options
        self.open.append("backend")
        return self

    def instance(self, device):
        if self.fail_instance == len(self.open) - 1:
            raise BackendError("no room", "UNAVAILABLE")
        instance = DoubleInstance(self, f"instance {len(self.open) - 1}")
        self.open.append(instance.name)
        return instance

    def close(self):
        self.open.remove("backend")


class DoubleInstance:
    def __init__(self, backend, name):
        self.backend = backend
        self.name = name

    def execute(self, batch):
        if self.backend.fail_execute:
            raise BackendError("boom")
        self.backend.executed.add(self.name)
        self.backend.ran_on.append(threading.current_thread())
        return Execution({"Y": np.concatenate(batch.inputs["X"])}, 0, 0)

    def close(self):
        self.backend.open.remove(self.name)


@pytest.fixture
def double(monkeypatch):
    backend = Double()
    module = ModuleType("double_backend")
    module.load = backend.load
    monkeypatch.setitem(sys.modules, "double_backend", module)
    return backend


def put(repository, config="", backend="double_backend:load"):
    (repository / "m" / "1").mkdir(parents=True)
    (repository / "m" / "config.pbtxt").write_text(f'backend: "{backend}" {config}')


def load(repository, gpus=(), **settings):
    configured = Settings(model_repository=(repository,), **settings)
    return load_version(Source(configured).candidate("m"), 1, configured, lambda _: dict.fromkeys(gpus, "9.0"))


def test_a_version_is_completed_placed_and_warm(tmp_path, double):
    put(
        tmp_path,
        """
        instance_group [ { count: 2 kind: KIND_CPU } ]
        output { name: "Y" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" }
        parameters { key: "p" value { string_value: "v" } }
        model_warmup { name: "w" batch_size: 2
            inputs { key: "X" value { data_type: TYPE_FP32 dims: 2 zero_data: true } } }
        """,
    )
    (tmp_path / "m" / "labels.txt").write_text("cat\ndog\n")
    loaded = load(tmp_path, backend_config={"": {"a": "1", "default-max-batch-size": "16"}})
    assert (loaded.name, loaded.version, loaded.directory) == ("m", 1, tmp_path / "m")
    assert loaded.config.max_batch_size == 16
    assert list(loaded.config.dynamic_batching.preferred_batch_size) == [16]
    assert [tensor.name for tensor in loaded.config.input] == ["X"]
    assert [(p.name, p.device, p.group) for p in loaded.instances] == [
        ("m_0_0", Device("CPU"), 0),
        ("m_0_1", Device("CPU"), 0),
    ]
    assert loaded.labels == {"Y": ["cat", "dog"]}
    assert [(w.rows, w.requests) for w in loaded.warmup] == [(2, 2), (2, 2)]
    assert loaded.load_seconds > 0
    assert double.options.parameters == {"p": "v"}
    assert double.options.cpu_instance_count == 2
    assert double.options.path.parent == tmp_path / "m" / "1"
    loaded.close()
    assert double.open == []


def test_instances_that_are_spared_count_as_warmed_up(tmp_path, double):
    double.cpu_instances = 1
    put(tmp_path, "instance_group [ { count: 2 kind: KIND_CPU } ] " + WARM)
    loaded = load(tmp_path)
    assert (len(loaded.instances), len(loaded.warmup), double.executed) == (1, 2, {"instance 0"})
    loaded.close()


def test_what_a_backend_answers_is_looked_at_for_memory_of_clients(tmp_path, double):
    put(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded.instances[0].instance, OwnOutputs)
    loaded.close()


def test_passive_instances_are_not_warmed_up(tmp_path, double):
    put(
        tmp_path,
        """
        max_batch_size: 4
        instance_group [ { kind: KIND_CPU count: 1 }, { kind: KIND_CPU count: 2 passive: true } ]
        parameters { key: "warmup_batch_sizes" value { string_value: "all" } }
        model_warmup { name: "w" batch_size: 2
            inputs { key: "X" value { data_type: TYPE_FP32 dims: 2 zero_data: true } } }
        """,
    )
    loaded = load(tmp_path)
    assert len(loaded.instances) == 3
    assert [(w.rows, w.requests) for w in loaded.warmup] == [(2, 2)]
    assert double.executed == {"instance 0"}
    loaded.close()


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ("", False),
        ("instance_group [ { kind: KIND_CPU } ]", False),
        ("instance_group [ { kind: KIND_CPU count: 1 } ]", True),
        ("instance_group [ { kind: KIND_CPU }, { kind: KIND_CPU } ]", True),
        ("max_batch_size: 2 sequence_batching { }", True),
    ],
)
def test_a_backend_hears_whether_so_many_instances_were_asked_for(tmp_path, double, config, asked):
    put(tmp_path, config)
    load(tmp_path).close()
    assert double.options.cpu_instances_asked is asked


def test_a_backend_may_do_with_fewer_instances_on_the_cpu(tmp_path, double, caplog):
    double.cpu_instances = 1
    put(tmp_path, "instance_group [ { kind: KIND_CPU }, { kind: KIND_CPU count: 2 }, { kind: KIND_GPU } ]")
    with caplog.at_level("INFO"):
        loaded = load(tmp_path, gpus=(0,))
    assert [p.name for p in loaded.instances] == ["m_0_0", "m_2_0"]
    assert "2 of 4 instances created: no count is configured" in caplog.text
    loaded.close()
    assert double.open == []


def test_what_was_decided_is_logged(tmp_path, double, caplog):
    put(tmp_path, "max_batch_size: 4")
    with caplog.at_level("INFO"):
        load(tmp_path).close()
    assert "'m' version 1: backend double_backend:load, file " in caplog.text
    assert "| max_batch_size 4: as configured |" in caplog.text
    assert "1 instance on CPU (m): no instance_group is configured and no GPU is usable" in caplog.text
    assert "created" not in caplog.text


def test_groups_follow_the_gpus(tmp_path, double):
    put(tmp_path)
    loaded = load(tmp_path, gpus=(0, 1))
    assert [p.device for p in loaded.instances] == [Device("GPU", 0), Device("GPU", 1)]


@pytest.mark.parametrize(("least", "used"), [(6.0, [0, 1, 2]), (7.5, [1, 2]), (9.0, [2]), (9.1, [])])
def test_gpus_below_the_least_compute_capability_are_not_used(monkeypatch, least, used):
    monkeypatch.setattr("despina_backends.onnxruntime.compute_capabilities", lambda: ("6.1", "7.5", "9.0"))
    assert list(usable_gpus("onnxruntime", least)) == used
    assert usable_gpus("identity", least) == {}


def test_the_log_says_what_keeps_a_gpu_package_from_its_gpus(monkeypatch, caplog):
    monkeypatch.setattr("despina_backends.onnxruntime.compute_capabilities", lambda: ())
    monkeypatch.setattr("despina_backends.onnxruntime.why_no_gpu", lambda: "missing for CUDA 13.0: libcudart.so.13")
    assert usable_gpus("onnxruntime", 6.0) == {}
    assert caplog.messages == ["no GPU is usable: missing for CUDA 13.0: libcudart.so.13"]


def test_the_log_names_the_gpus_that_are_too_old(monkeypatch, caplog):
    monkeypatch.setattr("despina_backends.onnxruntime.compute_capabilities", lambda: ("5.2", "9.0"))
    assert usable_gpus("onnxruntime", 6.0) == {1: "9.0"}
    assert caplog.messages == [
        "GPU 0 is not used: its compute capability is 5.2, --min-supported-compute-capability is 6.0"
    ]


def test_the_log_is_silent_where_nobody_looks_for_a_gpu(monkeypatch, caplog):
    monkeypatch.setattr("despina_backends.onnxruntime.compute_capabilities", lambda: ())
    monkeypatch.setattr("despina_backends.onnxruntime.why_no_gpu", lambda: None)
    assert usable_gpus("onnxruntime", 6.0) == {}
    assert caplog.messages == []


def test_the_least_compute_capability_is_that_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr("despina_backends.onnxruntime.compute_capabilities", lambda: ("8.0",))
    put(tmp_path, "instance_group { kind: KIND_GPU gpus: 0 }", "onnxruntime")
    settings = Settings(model_repository=(tmp_path,), min_supported_compute_capability=9.0)
    with pytest.raises(InvalidArgument, match=r"compute compatibility of 9\.000000 are: $"):
        load_version(Source(settings).candidate("m"), 1, settings)


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("{ kind: KIND_GPU }", "hopper.onnx"),
        ("{ kind: KIND_GPU gpus: 0 }", "hopper.onnx"),
        ("{ kind: KIND_CPU }", "model.onnx"),
    ],
)
def test_the_file_is_that_for_the_compute_capability(tmp_path, double, groups, file):
    put(tmp_path, 'cc_model_filenames { key: "9.0" value: "hopper.onnx" } instance_group ' + groups)
    load(tmp_path, gpus=(0, 1)).close()
    assert double.options.path.name == file


def test_instances_of_different_files_are_refused(tmp_path, double):
    groups = "instance_group [ { kind: KIND_GPU }, { kind: KIND_CPU } ]"
    put(tmp_path, 'cc_model_filenames { key: "9.0" value: "hopper.onnx" } ' + groups)
    with pytest.raises(Unsupported, match="model 'm' asks for instances of different files by its cc_model_filenames"):
        load(tmp_path, gpus=(0,))


@pytest.mark.parametrize(
    ("config", "spoil", "kind", "text"),
    [
        ("max_batch_size: 4 input { name: 'Z' data_type: TYPE_FP32 dims: 2 }", {}, InvalidArgument, "unexpected"),
        ("output { name: 'Y' data_type: TYPE_FP32 dims: 2 label_filename: 'none' }", {}, Internal, "failed to open"),
        ("instance_group [ { kind: KIND_CPU count: 3 } ]", {"fail_instance": 2}, Unavailable, "no room"),
        (
            "model_warmup { name: 'w' batch_size: 1 "
            "inputs { key: 'X' value { data_type: TYPE_FP32 dims: 2 zero_data: true } } }",
            {"fail_execute": True},
            InvalidArgument,
            "failed to run warmup sample 'w': boom; ",
        ),
    ],
)
def test_a_failure_leaves_nothing_open(tmp_path, double, config, spoil, kind, text):
    put(tmp_path, config)
    for name, value in spoil.items():
        setattr(double, name, value)
    with pytest.raises(kind, match=text):
        load(tmp_path)
    assert double.options is not None
    assert double.open == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INTERNAL", Internal),
        ("INVALID_ARG", InvalidArgument),
        ("NOT_FOUND", NotFound),
        ("UNAVAILABLE", Unavailable),
        ("UNSUPPORTED", Unsupported),
    ],
)
def test_errors_of_backends_keep_their_code(tmp_path, double, monkeypatch, code, kind):
    def fail(options):
        raise BackendError("no", code)

    monkeypatch.setattr(sys.modules["double_backend"], "load", fail)
    put(tmp_path)
    with pytest.raises(DespinaError) as error:
        load(tmp_path)
    assert type(error.value) is kind
    assert error.value.message == "no"


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ("model_transaction_policy { decoupled: true }", r"a decoupled transaction policy \(set decoupled to false\)"),
        ("sequence_batching { iterative_sequence: true }", r"iterative_sequence \(remove it\)"),
        ('model_repository_agents { agents { name: "a" } }', r"model_repository_agents \(remove them\)"),
    ],
)
def test_what_is_not_done_here_is_refused_before_the_model_is_read(tmp_path, double, config, what):
    put(tmp_path, config)
    with pytest.raises(Unsupported, match=f"model 'm' asks for {what}, which this server does not support"):
        load(tmp_path)
    assert double.options is None


def test_states_are_checked(tmp_path, double):
    state = 'state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: 1 }'
    put(tmp_path, f"max_batch_size: 4 sequence_batching {{ {state} {state} }}")
    with pytest.raises(InvalidArgument, match="specified more than once"):
        load(tmp_path)
    assert double.open == []


def test_a_default_batch_size_that_is_no_number_is_the_flags_fault(tmp_path, double):
    put(tmp_path)
    with pytest.raises(InvalidArgument) as error:
        load(tmp_path, backend_config={"": {"default-max-batch-size": "many"}})
    assert error.value.message == "--backend-config default-max-batch-size must be an integer, got 'many'"


def test_an_unknown_backend_is_named(tmp_path, caplog):
    put(tmp_path, backend="nosuchbackend")
    with pytest.raises(InvalidArgument) as error:
        load(tmp_path)
    assert error.value.message == (
        "unable to find backend library for backend 'nosuchbackend', try specifying runtime on the model configuration."
    )
    assert "only ONNX models are served, and Python named as 'package.module:attribute'; " in caplog.text
    assert "--exit-on-error=false leaves the others out" in caplog.text


def test_a_backend_that_does_without_an_input_may_batch_without_it(tmp_path):
    tensors = "data_type: TYPE_FP32 dims: [ 1 ]"
    put(
        tmp_path,
        f"""
        max_batch_size: 4
        input [ {{ name: "A" {tensors} optional: true }}, {{ name: "B" {tensors} optional: true }} ]
        output [ {{ name: "X" {tensors} }}, {{ name: "Y" {tensors} }} ]
        """,
        backend="identity",
    )
    loaded = load(tmp_path)
    assert all(tensor.optional for tensor in loaded.backend.inputs.values())


def test_tensors_are_checked_before_the_model_is_read_when_the_configuration_lists_them(tmp_path, double):
    put(tmp_path, 'input { name: "X" dims: [ 2 ] } output { name: "Y" data_type: TYPE_FP32 dims: [ 2 ] }')
    with pytest.raises(InvalidArgument, match="model input 'X' must specify 'data_type' for m"):
        load(tmp_path)
    assert double.options is None


def test_without_completion_the_configuration_stays_as_written(tmp_path, double):
    tensor = "data_type: TYPE_FP32 dims: [ 2 ]"
    put(tmp_path, f'max_batch_size: 2 input {{ name: "X" {tensor} }} output {{ name: "Y" {tensor} }}')
    loaded = load(tmp_path, strict_model_config=True)
    assert loaded.config.max_batch_size == 2
    assert not loaded.config.HasField("dynamic_batching")


def test_an_ensemble_needs_no_backend(tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text(
        """platform: "ensemble"
        input { name: "a" data_type: TYPE_FP32 dims: [ 1 ] }
        output { name: "b" data_type: TYPE_FP32 dims: [ 1 ] }
        ensemble_scheduling { step { model_name: "x" model_version: -1
            input_map { key: "i" value: "a" } output_map { key: "o" value: "b" } } }"""
    )
    loaded = load(tmp_path)
    assert loaded.backend is None
    assert loaded.instances == ()


def test_what_is_said_for_one_backend_wins():
    settings = Settings(backend_config={"": {"a": "1", "b": "1"}, "x": {"b": "2"}})
    assert backend_settings(settings, "x") == {"a": "1", "b": "2"}
    assert backend_settings(settings, "y") == {"a": "1", "b": "1"}


def test_gpu_instances_are_warm_at_every_batch_size_and_statistics_do_not_count_it(tmp_path, double, caplog):
    caplog.set_level("INFO")
    put(tmp_path, 'max_batch_size: 8 instance_group [ { kind: KIND_GPU } ] parameters { key: "warmup_batch_sizes" }')
    loaded = load(tmp_path, gpus=(0,))
    assert [text for text in ("batch of 1 took", "batch of 8 took") if text in caplog.text] == [
        "batch of 1 took",
        "batch of 8 took",
    ]
    assert loaded.warmup == ()
    loaded.close()


WARM = 'max_batch_size: 8 model_warmup { name: "w" batch_size: 1 inputs { key: "X" value { %s } } }'
WARM %= "data_type: TYPE_FP32 dims: [ 2 ] zero_data: true"


def test_an_instance_on_a_gpu_is_warmed_up_by_a_thread_of_its_own(tmp_path, double):
    put(tmp_path, f"{WARM} instance_group [ {{ kind: KIND_GPU count: 2 }} ]")
    loaded = load(tmp_path, gpus=(0,))
    first, second = dict.fromkeys(double.ran_on)
    assert [first.name, second.name] == ["despina-m_0_0", "despina-m_0_1"]
    # The sample, then two sizes twice.
    assert double.ran_on == [first, second, *[first] * 4, *[second] * 4]
    loaded.close()
    assert not first.is_alive()
    assert not second.is_alive()


async def test_the_thread_that_warmed_an_instance_up_runs_its_requests_and_ends_with_the_model(tmp_path, double):
    put(tmp_path, f"{WARM} instance_group [ {{ kind: KIND_GPU }} ]")
    double.steady = False
    loaded = load(tmp_path, gpus=(0,))
    (warm,) = set(double.ran_on)
    clock = LoopClock(asyncio.get_running_loop())
    model = Model(loaded, clock, SchedulingOptions(), ModelStatistics(), TraceSettings({}).settings_for("m"))
    double.ran_on.clear()
    model.submit_step(StepRequest({"X": np.zeros((1, 2), np.float32)}, ("Y",)), lambda pending: None)
    await model.drain()
    assert double.ran_on == [warm]
    await asyncio.to_thread(model.close)
    assert not warm.is_alive()
    assert double.open == []


def test_an_instance_on_the_cpu_is_warmed_up_where_it_is_loaded(tmp_path, double):
    put(tmp_path, f"{WARM} instance_group [ {{ kind: KIND_CPU count: 2 }} ]")
    loaded = load(tmp_path)
    assert double.ran_on == [threading.current_thread()] * 2
    assert [placed.thread for placed in loaded.instances] == [None, None]
    loaded.close()


def test_a_warmup_that_fails_leaves_no_thread(tmp_path, double):
    put(tmp_path, f"{WARM} instance_group [ {{ kind: KIND_GPU }} ]")
    double.fail_execute = True
    with pytest.raises(InvalidArgument, match="failed to run warmup sample 'w': boom; "):
        load(tmp_path, gpus=(0,))
    assert double.open == []
    assert "despina-m_0_0" not in {thread.name for thread in threading.enumerate()}


def test_a_backend_hears_on_which_gpu_its_first_instance_will_be(tmp_path, double):
    put(tmp_path, "max_batch_size: 4 instance_group [ { kind: KIND_GPU gpus: 2 }, { kind: KIND_GPU gpus: 1 } ]")
    load(tmp_path, gpus=(0, 1, 2)).close()
    assert double.options.first_gpu == 2
