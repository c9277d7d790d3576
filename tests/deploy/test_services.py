"""Services as they run: processes, ports, signals. All but the last tests use scripts alone, which start quickly."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.environment import EnvironmentSpec
from despina.deploy.folder import ServiceFolder
from despina.deploy.home import Home
from despina.deploy.label_change import LabelChange
from despina.deploy.record import ModelDescription
from despina.deploy.reference import ModelReference
from despina.deploy.registry import Registry
from despina.deploy.running import current_state, guard_pid, stop, wait_until_settled
from despina.deploy.service import Mode, ServiceSpec, ServiceState, State
from despina.deploy.service_record import describe
from despina.deploy.services import Services
from despina.deploy.supervisor.commands import free_port
from despina.errors import AlreadyExists, Internal, InvalidArgument, NotFound, Unavailable, Unsupported

pytest.importorskip("gunicorn")

ANSWER = "import os\ndef init(): pass\ndef run(data): return {answer!r}\n"
PID = "import os\ndef init(): pass\ndef run(data): return os.getpid()\n"


class Bench:
    """A home with one model, and what the tests do over and over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = Home(root / "home")
        self.home.directory.mkdir()
        self.registry = Registry(self.home)
        self.services = Services(self.home, self.registry)
        (root / "model.txt").write_text("weights")
        self.registry.register(ModelDescription("m"), root / "model.txt")

    def deploy(self, script: str, name: str = "svc", workers: int | str = 1, **fields: Any) -> ServiceState:
        source = self.root / f"source-{len(list(self.root.iterdir()))}"
        source.mkdir()
        (source / "score.py").write_text(script)
        environment = EnvironmentSpec("e", variables={"WORKER_COUNT": str(workers)})
        request = DeployRequest(
            name, ["m"], DeploymentConfig(**fields), InferenceSpec("score.py", source, environment), overwrite=True
        )
        self.services.deploy(request)
        return self.services.wait(name)

    def folder(self, name: str = "svc") -> ServiceFolder:
        return ServiceFolder(self.home.services / name)

    def ask(self, path: str = "/score", body: str | None = "", name: str = "svc", key: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.services.get(name)[0].port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for name in made.services.names():
        made.services.delete(name)


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """For what the kernel and other processes do in their own time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def tree(pid: int) -> list[int]:
    return [pid, *(one for child in children(pid) for one in tree(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes(bench: Bench) -> list[int]:
    pid = guard_pid(bench.folder())
    assert pid is not None
    return tree(pid)


def gone(pids: list[int]) -> None:
    """For services that no command can end any more; the first process is the guard, which takes the others along."""
    try:
        eventually(lambda: not any(alive(pid) for pid in pids))
    finally:
        if alive(pids[0]):
            os.kill(pids[0], signal.SIGKILL)


def test_what_a_configuration_says_in_vain_is_told(bench: Bench) -> None:
    said: list[str] = []
    size = {"cpu_cores": 1.0, "gpu_cores": 1, "num_replicas": 3, "period_seconds": 3}
    config = DeploymentConfig("local", primary_key="mine", **size)  # type: ignore[arg-type]
    source = bench.root / "alone"
    source.mkdir()
    (source / "score.py").write_text(PID)
    bench.services.deploy(DeployRequest("svc", ["m"], config, InferenceSpec("score.py", source)), said.append)
    bench.services.wait("svc")
    assert said[:-1] == [
        "warning: containerResourceRequirements, gpuCores, livenessProbeRequirements, numReplicas: ignored on this "
        "machine; a cluster (--compute-target) heeds them",
        "warning: keys are ignored: requests need none, because authEnabled does not say so",
    ]


def test_a_script_that_gets_no_server_for_its_repository_is_told(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "models" / "triton" / "densenet" / "1").mkdir(parents=True)
    (tmp_path / "models" / "triton" / "densenet" / "1" / "model.onnx").write_bytes(b"weights")
    bench.registry.register(ModelDescription("densenet"), tmp_path / "models")
    source = bench.root / "asking"
    source.mkdir()
    (source / "score.py").write_text(PID)
    said: list[str] = []
    request = DeployRequest("svc", ["m", "densenet"], DeploymentConfig(), InferenceSpec("score.py", source))
    bench.services.deploy(request, said.append)
    bench.services.wait("svc")
    assert said[0] == (
        "warning: model densenet:1 holds a model repository, but its framework is Custom: no inference server runs "
        "beside the script; register the model with --model-framework=Multi to have one"
    )


def test_script_runs_with_its_model_and_goes_without_a_trace(bench: Bench) -> None:
    script = (
        "import os, pathlib\nfrom azureml.core.model import Model\ndef init(): pass\n"
        "def run(data): return [pathlib.Path(os.environ['AZUREML_MODEL_DIR'], 'model.txt').read_text(),\n"
        "    pathlib.Path(Model.get_model_path('m')).read_text(), os.environ.get('TRITON_HTTP_URL')]\n"
    )
    assert bench.deploy(script).state is State.RUNNING
    assert bench.ask() == (200, ["weights", "weights", None])
    assert bench.ask("/api/v1/service/svc/score") == (200, ["weights", "weights", None])
    pids = processes(bench)
    assert len(pids) == 4
    port = bench.services.get("svc")[0].port
    bench.services.delete("svc")
    assert not any(alive(pid) for pid in pids[1:])
    eventually(lambda: not alive(pids[0]))  # the guard lets go of its lock with its last breath
    with socket.socket() as one:
        one.bind(("127.0.0.1", port))
    assert list(bench.home.services.iterdir()) == []
    with pytest.raises(NotFound, match="No service with name svc found; have none"):
        bench.services.get("svc")


def test_what_a_script_started_ends_with_its_service(bench: Bench) -> None:
    start = "def init():\n    global process\n    process = subprocess.Popen(['sleep', '60'])\n"
    bench.deploy(f"import subprocess\n{start}def run(data): return process.pid\n")
    started = bench.ask()[1]
    assert alive(started)
    bench.services.delete("svc")
    eventually(lambda: not alive(started), 5)


def test_script_may_tidy_up_at_its_end(bench: Bench) -> None:
    tidied = bench.root / "tidied"
    tidy = f"def init(): atexit.register(pathlib.Path({str(tidied)!r}).touch)\n"
    bench.deploy(f"import atexit, pathlib\n{tidy}def run(data): pass\n")
    bench.services.delete("svc")
    assert tidied.exists()


def test_workers_as_many_as_said(bench: Bench) -> None:
    bench.deploy(PID, workers=2)
    seen: set[int] = set()

    def both() -> bool:
        seen.add(bench.ask()[1])
        return len(seen) == 2

    eventually(both)


def test_keys_open_and_are_rotated_without_a_restart(bench: Bench) -> None:
    bench.deploy(PID, auth_enabled=True)
    keys = bench.services.keys("svc")
    assert bench.ask()[0] == bench.ask("/", None)[0] == 401
    pid = bench.ask(key=keys.primary)[1]
    assert bench.ask(key=keys.secondary) == (200, pid)
    changed = bench.services.regenerate_key("svc", "Primary")
    assert bench.ask(key=keys.primary)[0] == 401
    assert bench.ask(key=keys.secondary) == bench.ask(key=changed.primary) == (200, pid)
    assert (bench.folder().path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert (bench.folder().path / "control.sock").stat().st_mode & 0o777 == 0o600


def test_new_key_of_what_is_to_come_does_not_shut_what_answers_without(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    source = bench.root / "source"
    source.mkdir()
    (source / "score.py").write_text("import time\ndef init(): time.sleep(60)\ndef run(data): pass\n")
    request = DeployRequest("svc", ["m"], DeploymentConfig(auth_enabled=True), InferenceSpec("score.py", source))
    bench.services.deploy(replace(request, overwrite=True))
    bench.services.regenerate_key("svc", "Primary")
    assert bench.ask() == (200, 1)


def test_replaced_key_stays_replaced_when_the_service_is_updated(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1), auth_enabled=True, primary_key="first", secondary_key="second")
    bench.services.regenerate_key("svc", "Primary", "third")
    source = next(bench.root.glob("source-*"))
    deployment = bench.services.get("svc")[0].deployment
    bench.services.deploy(DeployRequest("svc", ["m"], deployment, InferenceSpec("score.py", source), overwrite=True))
    bench.services.wait("svc")
    assert [bench.ask(key=key)[0] for key in ("first", "second", "third")] == [401, 200, 200]


def test_service_that_lost_its_keys_is_not_open_to_all(bench: Bench) -> None:
    supervisor = bench.deploy(PID, auth_enabled=True).supervisor_pid
    assert supervisor is not None
    (bench.folder().path / "keys.json").unlink()
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: bench.services.get("svc")[1].state is State.FAILED)
    assert bench.services.get("svc")[1].error == "the keys of service svc are lost; deploy it again to have new ones"
    bench.deploy(PID, auth_enabled=True)
    assert bench.ask()[0] == 401
    assert bench.ask(key=bench.services.keys("svc").primary)[0] == 200


def test_service_without_keys_has_none_to_show(bench: Bench) -> None:
    bench.deploy(PID)
    with pytest.raises(Unsupported, match="deployed without authEnabled"):
        bench.services.keys("svc")


def test_init_that_raises_fails_the_deployment_with_its_log(bench: Bench) -> None:
    state = bench.deploy("def init(): raise RuntimeError('no weights')\ndef run(data): pass\n")
    assert state.state is State.FAILED
    assert state.error == "the score workers ended with status 3 before it was ready"
    assert any("RuntimeError: no weights" in line for line in state.log)
    eventually(lambda: guard_pid(bench.folder()) is None)
    assert bench.services.get("svc")[1] == state


def test_variable_that_no_process_can_have_fails_the_deployment(bench: Bench) -> None:
    state = bench.deploy(PID, workers="\ud800")
    assert state.state is State.FAILED
    assert (state.error or "").startswith("the score workers cannot be started: 'utf-8' codec can't encode")


def test_service_that_failed_is_deployed_again_while_it_still_has_a_client(bench: Bench) -> None:
    source = bench.root / "source"
    source.mkdir()
    failing = (
        "import pathlib, time\ndef init():\n    while not pathlib.Path('go').exists(): time.sleep(0.01)\n    1 / 0\n"
    )
    (source / "score.py").write_text(failing + "def run(data): pass\n")
    bench.services.deploy(DeployRequest("svc", ["m"], inference=InferenceSpec("score.py", source)))
    eventually(lambda: len(processes(bench)) > 2)  # the gate is open then
    with socket.create_connection(("127.0.0.1", bench.services.spec("svc").port)) as client:
        client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        (bench.folder().generation(1) / "go").touch()
        assert bench.services.wait("svc").state is State.FAILED
        bench.deploy(ANSWER.format(answer=2))
        assert bench.ask() == (200, 2)
        client.settimeout(10)
        while client.recv(1000):  # until it is closed
            pass
    assert bench.ask() == (200, 2)


def test_name_that_is_taken_needs_overwrite(bench: Bench) -> None:
    bench.deploy(PID)
    with pytest.raises(AlreadyExists, match="service svc exists already; say --overwrite"):
        bench.services.deploy(DeployRequest("svc", ["m"]))


def test_two_operations_at_once_are_refused(bench: Bench) -> None:
    running = pytest.raises(AlreadyExists, match="an operation on service svc is running already")
    with bench.folder().operation(), running:
        bench.deploy(PID)


def test_overwrite_under_load_fails_no_request(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    stop, seen, wrong = threading.Event(), set(), []

    def load() -> None:
        while not stop.is_set():
            status, answer = bench.ask()
            seen.add(answer)
            if status != 200:
                wrong.append((status, answer))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for answer in (2, 3):
        assert bench.deploy(ANSWER.format(answer=answer)).state is State.RUNNING
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen == {1, 2, 3}
    assert bench.ask() == (200, 3)


def test_failed_overwrite_keeps_the_old_one_answering(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    state = bench.deploy("def init(): raise RuntimeError('no weights')\ndef run(data): pass\n")
    assert state.state is State.RUNNING
    assert state.error is not None
    assert state.error.startswith("generation 2 failed, generation 1 still answers: the score workers ended")
    assert bench.ask() == (200, 1)
    assert bench.deploy(ANSWER.format(answer=3)).error is None
    assert bench.ask() == (200, 3)


def test_failed_overwrite_changes_nothing_that_others_see(bench: Bench) -> None:
    bad = "def init(): raise RuntimeError('no weights')\ndef run(data): pass\n"
    bench.deploy(ANSWER.format(answer=1), auth_enabled=True, primary_key="first", secondary_key="second")
    port, keys = bench.services.get("svc")[0].port, bench.services.keys("svc")
    bench.services.label("svc", LabelChange("said later", {"a": "b"}))
    state = bench.deploy(bad, port=free_port(), auth_enabled=True, primary_key="third")
    spec = bench.services.spec("svc")
    assert (spec.port, spec.description, spec.tags) == (port, "said later", {"a": "b"})
    assert bench.services.keys("svc") == keys
    assert bench.ask(key="first") == (200, 1)
    assert state.supervisor_pid is not None
    os.kill(state.supervisor_pid, signal.SIGKILL)

    def back() -> bool:
        try:
            return bench.ask(key="first") == (200, 1)
        except OSError:
            return False

    eventually(back)


def test_overwrite_may_move_the_service_to_another_port(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    before = bench.services.get("svc")[0].port
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        with pytest.raises(InvalidArgument, match=f"port {port} is taken by another process"):
            bench.deploy(ANSWER.format(answer=2), port=port)
    bench.deploy(ANSWER.format(answer=2), port=port)
    assert bench.services.get("svc")[0].port == port != before
    assert bench.ask() == (200, 2)


WAITING = (
    "import pathlib, time\ndef init():\n    while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    "def run(data): return 'late'\n"
)


def test_overwrite_whose_port_was_taken_meanwhile_leaves_no_process(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    source = bench.root / "source"
    source.mkdir()
    (source / "score.py").write_text(WAITING)
    config = DeploymentConfig(port=free_port())
    bench.services.deploy(DeployRequest("svc", ["m"], config, InferenceSpec("score.py", source), overwrite=True))
    with socket.create_server(("127.0.0.1", config.port or 0)):
        (bench.folder().generation(2) / "go").touch()
        error = bench.services.wait("svc").error or ""
    assert error.startswith("generation 2 failed, generation 1 still answers: ")
    assert "address already in use" in error
    eventually(lambda: len(processes(bench)) == 4)
    assert bench.ask() == (200, 1)


def test_of_two_deployments_under_way_the_newer_counts(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    source = bench.root / "source"
    source.mkdir()
    (source / "score.py").write_text(WAITING)
    bench.services.deploy(DeployRequest("svc", ["m"], inference=InferenceSpec("score.py", source), overwrite=True))
    assert bench.deploy(ANSWER.format(answer=3)).generation == 3
    eventually(lambda: len(processes(bench)) == 4)
    assert bench.ask() == (200, 3)


def test_who_waits_for_a_service_is_told_that_it_was_deleted(bench: Bench) -> None:
    source = bench.root / "source"
    source.mkdir()
    (source / "score.py").write_text("import time\ndef init(): time.sleep(60)\ndef run(data): pass\n")
    bench.services.deploy(DeployRequest("svc", ["m"], inference=InferenceSpec("score.py", source)))
    states: list[ServiceState] = []
    waiting = threading.Thread(target=lambda: states.append(wait_until_settled(bench.folder())))
    waiting.start()
    eventually(lambda: len(processes(bench)) > 2)  # it is under way
    bench.services.delete("svc")
    waiting.join(30)
    assert [(state.state, state.error) for state in states] == [(State.DELETED, "it was deleted meanwhile")]


def test_service_whose_folder_is_gone_was_deleted(bench: Bench) -> None:
    assert current_state(bench.folder("gone")).state is State.DELETED


def test_deletion_that_was_interrupted_is_told_and_can_be_ended(bench: Bench) -> None:
    bench.deploy(PID)
    stop(bench.folder())  # what `delete` does first
    state = bench.services.get("svc")[1]
    assert state.state is State.DELETED
    assert state.error == "it is being deleted; where that was interrupted `despina service delete` goes on"
    bench.services.delete("svc")
    assert bench.services.names() == []


def test_service_that_is_being_started_has_not_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ServiceState] = []

    class Started(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            seen.append(current_state(bench.folder()))

    monkeypatch.setattr("despina.deploy.running.subprocess.Popen", Started)
    bench.deploy(PID)
    assert [(state.state, state.error) for state in seen] == [(State.DEPLOYING, "its supervisor is being started")]


@pytest.mark.parametrize("victim", ["supervisor", "gunicorn", "worker"])
def test_killed_process_is_replaced_and_leaves_no_orphan(bench: Bench, victim: str) -> None:
    bench.deploy(PID)
    before = processes(bench)
    killed = {"supervisor": 1, "gunicorn": 2, "worker": 3}[victim]
    os.kill(before[killed], signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in before[killed:]))

    def back() -> bool:
        try:
            return bench.ask()[0] == 200 and bench.services.get("svc")[1].state is State.RUNNING
        except OSError:
            return False

    eventually(back)
    after = processes(bench)
    assert after[:killed] == before[:killed]
    assert len(after) == 4


def test_killed_supervisor_is_replaced_though_its_log_cannot_be_written(bench: Bench) -> None:
    bench.folder().path.mkdir(parents=True)
    bench.folder().log.symlink_to("/dev/full")
    bench.deploy(PID)
    before = processes(bench)
    os.kill(before[1], signal.SIGKILL)
    eventually(lambda: not alive(before[1]))
    eventually(lambda: not alive(before[0]) or len(processes(bench)) == len(before))
    assert alive(before[0])
    assert bench.services.wait("svc").state is State.RUNNING


def test_killed_guard_takes_everything_with_it_and_is_told(bench: Bench) -> None:
    bench.deploy(PID)
    pids = processes(bench)
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids))
    state = bench.services.get("svc")[1]
    assert state.state is State.FAILED
    assert "processes of this service are gone" in (state.error or "")
    bench.services.restart("svc")
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask()[0] == 200
    assert len(processes(bench)) == len(pids)


def test_guard_that_is_about_to_end_does_not_keep_a_service_from_its_start(bench: Bench) -> None:
    bench.deploy(PID)
    guard, supervisor, *_ = processes(bench)
    os.kill(guard, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGTERM)
    eventually(lambda: not alive(supervisor))
    ending = threading.Timer(0.5, os.kill, (guard, signal.SIGCONT))
    ending.start()
    bench.services.restart("svc")
    ending.join()
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask()[0] == 200


def test_guard_that_waits_before_it_starts_the_supervisor_again_gives_way(bench: Bench) -> None:
    bench.deploy(PID)
    supervisor = processes(bench)[1]
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not alive(supervisor))
    bench.services.restart("svc")
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask()[0] == 200


def test_service_whose_supervisor_is_about_to_be_started_again_is_deleted(bench: Bench) -> None:
    bench.deploy(PID)
    pids = processes(bench)
    os.kill(pids[1], signal.SIGKILL)
    eventually(lambda: not alive(pids[1]))
    bench.services.delete("svc")
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_service_whose_guard_was_killed_is_deleted_when_its_last_request_is_answered(bench: Bench) -> None:
    run = "def run(data):\n    pathlib.Path('begun').touch()\n    time.sleep(2)\n    return 1\n"
    bench.deploy(f"import pathlib, time\ndef init(): pass\n{run}")
    pids = processes(bench)
    answers: list[Any] = []
    request = threading.Thread(target=lambda: answers.append(bench.ask()))
    request.start()
    eventually((bench.folder().generation(1) / "begun").exists)
    os.kill(pids[0], signal.SIGKILL)
    bench.services.delete("svc")
    assert not any(alive(pid) for pid in pids[2:])
    request.join()
    assert answers == [(200, 1)]


def test_service_ends_when_its_folder_was_removed_and_a_part_dies(bench: Bench) -> None:
    bench.deploy(PID)
    pids = processes(bench)
    shutil.rmtree(bench.home.services)
    os.kill(pids[2], signal.SIGKILL)
    gone(pids)
    assert not bench.home.services.exists()


def test_supervisor_whose_folder_was_removed_is_not_started_again(bench: Bench) -> None:
    bench.deploy(PID)
    pids = processes(bench)
    shutil.rmtree(bench.home.services)
    os.kill(pids[1], signal.SIGKILL)
    gone(pids)


def test_supervisor_that_hangs_is_told_as_such(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = bench.deploy(PID).supervisor_pid
    assert pid is not None
    monkeypatch.setattr("despina.deploy.running.ASK_SECONDS", 0.1)
    os.kill(pid, signal.SIGSTOP)
    ((_, state),) = bench.services.all()
    assert (state.state, state.error) == (State.UNKNOWN, "the supervisor of service svc has not answered for 0.1 s")
    with pytest.raises(Unavailable, match="the supervisor of service svc has not answered"):
        bench.services.restart("svc")
    os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    eventually(lambda: bench.services.get("svc")[1].state is State.RUNNING)


def test_labels_change_without_a_restart(bench: Bench) -> None:
    bench.deploy(PID)
    pid = bench.ask()[1]
    spec = bench.services.label("svc", LabelChange("new", {"a": "b"}, add_properties={"p": "1"}))
    assert (spec.description, spec.tags, spec.properties) == ("new", {"a": "b"}, {"p": "1"})
    with pytest.raises(InvalidArgument, match="property p is set already"):
        bench.services.label("svc", LabelChange(add_properties={"p": "2"}))
    assert bench.services.label("svc", LabelChange("")).description == ""
    assert bench.ask() == (200, pid)


def test_model_in_use_is_known(bench: Bench) -> None:
    bench.deploy(PID)
    assert bench.services.using(ModelReference("m", 1)) == ["svc"]
    assert bench.services.using(ModelReference("m", 2)) == []


def test_timeout_and_limit_of_the_configuration_are_kept(bench: Bench) -> None:
    bench.deploy(PID)  # without a limit
    bench.deploy(
        "import time\ndef init(): pass\ndef run(data): time.sleep(float(data or 0))\n",
        replica_max_concurrent_requests=1,
        max_request_wait_time=50,
        scoring_timeout_ms=700,
    )
    slow = threading.Thread(target=lambda: results.append(bench.ask(body="5")))
    results: list[Any] = []
    slow.start()
    eventually(lambda: bench.ask(body="0")[0] == 503)
    slow.join()
    assert results[0][0] in (500, 504)
    assert bench.ask(body="0")[0] == 200


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The page's folder shape with a model that doubles its input."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    tensor = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", tensor[:1], tensor[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    version = tmp_path / "models" / "triton" / "double" / "1"
    version.mkdir(parents=True)
    onnx.save(model, version / "model.onnx")
    return tmp_path / "models"


def test_direct_service_speaks_the_protocol_below_its_base_path(bench: Bench, repository: Path) -> None:
    client = pytest.importorskip("tritonclient.http")
    numpy = pytest.importorskip("numpy")
    bench.registry.register(ModelDescription("my_triton_model", "Multi"), repository)
    bench.services.deploy(DeployRequest("svc", ["my_triton_model:1"], DeploymentConfig(auth_enabled=True)))
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask("/v2/health/ready", None)[0] == 401
    key = bench.services.keys("svc").secondary
    assert bench.ask("//v2/health/ready", None, key=key)[0] == 200
    with client.InferenceServerClient(f"localhost:{bench.services.get('svc')[0].port}/api/v1/service/svc/") as one:
        tensor = client.InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(numpy.ones((2, 4), numpy.float32))
        answer = one.infer("double", [tensor], headers={"Authorization": f"Bearer {key}"})
    assert answer.as_numpy("y").tolist() == [[2.0] * 4] * 2


def test_onnx_file_is_wrapped_into_a_repository(bench: Bench, repository: Path) -> None:
    bench.registry.register(ModelDescription("double", "Onnx"), repository / "triton/double/1/model.onnx")
    bench.services.deploy(DeployRequest("svc", ["double"]))
    assert bench.services.wait("svc").state is State.RUNNING
    assert bench.ask("/v2/models/double/versions/1/ready", None)[0] == 200


MIDDLEWARE = """
import json, os
import numpy as np
import tritonclient.http as client

def init():
    global triton
    triton = client.InferenceServerClient(os.environ["TRITON_HTTP_URL"])

def run(data):
    tensor = client.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([json.loads(data)], np.float32))
    return [os.getpid(), triton.infer("double", [tensor]).as_numpy("y").tolist()]
"""


def test_middleware_service_calls_the_server_beside_it(bench: Bench, repository: Path) -> None:
    pytest.importorskip("tritonclient.http")
    bench.registry.register(ModelDescription("m", "Multi"), repository)
    state = bench.deploy(MIDDLEWARE, workers=2)
    assert state.state is State.RUNNING
    answers = [bench.ask(body="[1, 2, 3, 4]") for _ in range(50)]
    assert {status for status, _ in answers} == {200}
    assert {str(answer[1]) for _, answer in answers} == {"[[2.0, 4.0, 6.0, 8.0]]"}
    seen = {answer[0] for _, answer in answers}

    def both() -> bool:
        seen.add(bench.ask(body="[1, 2, 3, 4]")[1][0])
        return len(seen) == 2

    eventually(both)
    assert bench.ask("/v2/models/double/ready", None)[0] == 200
    server = next(pid for pid in processes(bench) if "serve" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
    os.kill(server, signal.SIGKILL)
    eventually(lambda: not alive(server))
    eventually(lambda: bench.ask(body="[1, 2, 3, 4]")[0] == 200)


def test_model_that_cannot_be_loaded_fails_the_deployment(bench: Bench, repository: Path) -> None:
    (repository / "triton/double/1/model.onnx").write_bytes(b"nonsense")
    bench.registry.register(ModelDescription("broken", "Multi"), repository)
    bench.services.deploy(DeployRequest("svc", ["broken"]))
    state = bench.services.wait("svc")
    assert state.state is State.FAILED
    assert state.error is not None
    assert "the inference server ended with status" in state.error
    assert any("double" in line for line in state.log)


def test_service_has_a_session_of_its_own(bench: Bench) -> None:
    bench.deploy(PID)
    assert os.getsid(processes(bench)[0]) != os.getsid(0)


def test_of_all_services_only_those_that_are_gone_are_left_out_and_the_others_say_why_they_cannot_be_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        bench.folder(name).write_spec(ServiceSpec(name, 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    monkeypatch.setattr(bench.services, "names", lambda: ["gone", "one", "two"])
    assert [spec.name for spec, _ in bench.services.all()] == ["one", "two"]
    lost = DeploymentConfig("aks", compute_target_name="detached")
    bench.folder("two").write_spec(ServiceSpec("two", 1, Mode.DIRECT, ("m:1",), lost))
    (_, one), (_, two) = bench.services.all()
    assert (one.state, two.state) == (State.FAILED, State.UNKNOWN)
    assert (two.error or "").startswith("compute target detached is not attached")
    for name in ("one", "two"):
        bench.folder(name).remove()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"name": "two"}', '{"script": null, "name": "two", "generation": 1}']
)
def test_a_damaged_service_hides_no_other_and_can_be_deleted(bench: Bench, content: str) -> None:
    for name in ("one", "two"):
        bench.folder(name).write_spec(ServiceSpec(name, 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    (bench.folder("two").path / "spec.json").write_text(content)
    (one, _), (two, damaged) = bench.services.all()
    assert (one.name, two.name, damaged.state) == ("one", "two", State.DAMAGED)
    assert re.fullmatch(
        r".*/two/spec.json is damaged: .*; restore it, or end the service with `despina service delete -n two`",
        damaged.error or "",
    )
    shown = describe(two, damaged, "w")
    assert (shown["state"], shown["mode"], shown["scoringUri"]) == ("damaged", "unknown", None)
    with pytest.raises(Internal, match=r"spec\.json is damaged"):
        bench.services.get("two")
    bench.services.delete("two")
    assert bench.services.names() == ["one"]
    bench.folder("one").remove()


@pytest.mark.parametrize(
    ("field", "value"), [("tags", None), ("properties", 1), ("deployment", {"computeType": "moon"})]
)
def test_a_service_is_damaged_by_a_value_that_cannot_be(bench: Bench, field: str, value: Any) -> None:
    spec = ServiceSpec("two", 1, Mode.DIRECT, ("m:1",), DeploymentConfig())
    bench.folder("two").write_spec(spec)
    (bench.folder("two").path / "spec.json").write_text(json.dumps({**spec.to_json(), field: value}))
    ((_, state),) = bench.services.all()
    assert state.state is State.DAMAGED


def test_the_processes_of_a_damaged_service_end_with_it(bench: Bench) -> None:
    said: list[str] = []
    bench.deploy(PID)
    pids = processes(bench)
    (bench.folder().path / "spec.json").write_text("{")
    bench.services.delete("svc", said.append)
    gone(pids)
    assert said == []


def test_where_a_damaged_service_ran_in_a_cluster_it_is_said_how_it_ends_there(bench: Bench) -> None:
    said: list[str] = []
    bench.folder().write_spec(ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig("aks")))
    (bench.folder().path / "spec.json").write_text("{")
    bench.services.delete("svc", said.append)
    (warning,) = said
    assert "`kubectl delete deployment,service," in warning
    assert "app.kubernetes.io/instance=svc" in warning


def test_a_source_directory_that_holds_the_home_is_refused(bench: Bench) -> None:
    (bench.root / "score.py").write_text(PID)
    with pytest.raises(InvalidArgument, match=r"source directory .* holds .*/home, which has the registry"):
        bench.services.deploy(DeployRequest("svc", ["m"], inference=InferenceSpec("score.py", bench.root)))
    assert bench.services.names() == []


def test_a_source_directory_may_hold_a_home_that_is_not_copied(bench: Bench) -> None:
    services = Services(Home(bench.root / ".despina"), bench.registry)
    (bench.root / "score.py").write_text(PID)
    with pytest.raises(InvalidArgument, match="give --compute-target too"):  # what is looked at next
        services.render(
            DeployRequest("svc", ["m"], inference=InferenceSpec("score.py", bench.root)), bench.root / "out"
        )


def test_middleware_services_that_start_at_once_get_servers_of_their_own(bench: Bench, repository: Path) -> None:
    pytest.importorskip("tritonclient.http")
    bench.registry.register(ModelDescription("m", "Multi"), repository)
    source = bench.root / "source"
    source.mkdir()
    (source / "score.py").write_text(MIDDLEWARE)
    names = ("svc", "other", "third")
    for name in names:
        bench.services.deploy(DeployRequest(name, ["m"], inference=InferenceSpec("score.py", source)))
    states = {name: bench.services.wait(name) for name in names}
    assert {state.state for state in states.values()} == {State.RUNNING}
    assert len({state.server_url for state in states.values()}) == len(names)
    for name in names:
        assert bench.ask(body="[1, 2, 3, 4]", name=name)[0] == 200
