import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from despina.cli.main import cli
from despina.deploy.home import Home
from despina.deploy.kubernetes.target import ComputeTarget, ComputeTargets, Exposure, ScalingMetric
from despina.errors import AlreadyExists, Internal, InvalidArgument, NotFound

TARGET = ComputeTarget("aks-gpu", "despina:1", "ml", model_claim="models")


def test_a_target_comes_back_as_it_was_attached(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.touch()
    full = ComputeTarget(
        "aks-gpu",
        "registry.example/despina:1",
        "ml",
        config,
        "context",
        None,
        "https://models.example",
        Exposure.LOAD_BALANCER,
        "nginx",
        "ml.example",
        "certificate",
        "registry",
        ScalingMetric.IN_FLIGHT,
    )
    targets = ComputeTargets(Home(tmp_path))
    targets.attach(full)
    assert targets.get("aks-gpu") == full
    assert targets.all() == [full]


def test_an_attached_name_is_replaced_only_on_request(tmp_path: Path) -> None:
    targets = ComputeTargets(Home(tmp_path))
    targets.attach(TARGET)
    with pytest.raises(AlreadyExists, match="aks-gpu is attached already"):
        targets.attach(TARGET)
    targets.attach(replace(TARGET, image="despina:2"), overwrite=True)
    assert targets.get("aks-gpu").image == "despina:2"


@pytest.mark.parametrize("name", ["aks", "../compute/aks-gpu", ""])
def test_an_unknown_name_gets_those_that_exist(tmp_path: Path, name: str) -> None:
    targets = ComputeTargets(Home(tmp_path))
    targets.attach(TARGET)
    with pytest.raises(NotFound, match=r"is not attached; have aks-gpu\. `despina compute attach"):
        targets.get(name)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    wrong = ComputeTarget("1", "two words", "Not_A_Label", tmp_path / "absent", model_url="ftp://x")
    with pytest.raises(InvalidArgument) as caught:
        ComputeTargets(Home(tmp_path)).attach(wrong)
    for part in ("begins with a letter", "two words", "Not_A_Label", "absent does not exist", "ftp://x"):
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("model_claim", "Bad Claim", "model claim 'Bad Claim'"),
        ("model_claim", "", "model claim ''"),
        ("model_claim", "-a", "model claim '-a'"),
        ("ingress_host", "http://foo/", "ingress host 'http://foo/'"),
        ("ingress_host", "a..b", "ingress host 'a..b'"),
        ("ingress_host", "a" * 254, "ingress host"),
        ("ingress_class", "Nginx", "ingress class 'Nginx'"),
        ("tls_secret", "a_b", "TLS secret 'a_b'"),
        ("pull_secret", "a\n", "pull secret"),
    ],
)
def test_names_in_the_cluster_are_dns_names(tmp_path: Path, field: str, value: str, what: str) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(InvalidArgument, match=f"compute target aks-gpu: {what} .*is not a DNS name"):
        ComputeTargets(Home(tmp_path)).attach(replace(TARGET, **changes))


@pytest.mark.parametrize(
    "url",
    [
        "https://account.example/blobs?sig=secret",
        "https://account.example/blobs#here",
        "https://user:password@models.example/blobs",
        "https://",
        "https://[::1/blobs",
        "https://models.example/my blobs",
    ],
)
def test_a_url_behind_which_no_path_can_be_put_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidArgument, match="is not the address of a folder: expected https://HOST/PATH"):
        ComputeTargets(Home(tmp_path)).attach(replace(TARGET, model_claim=None, model_url=url))


@pytest.mark.parametrize("url", ["https://models.example", "http://10.0.0.1:8000/a/b/", "http://[::1]/my%20blobs"])
def test_a_url_of_a_folder_may_have_a_port_and_a_slash(tmp_path: Path, url: str) -> None:
    ComputeTargets(Home(tmp_path)).attach(replace(TARGET, model_claim=None, model_url=url))


def test_a_name_has_32_characters_at_most(tmp_path: Path) -> None:
    targets = ComputeTargets(Home(tmp_path))
    targets.attach(replace(TARGET, name=32 * "a"))
    with pytest.raises(InvalidArgument, match="a name has 2 to 32 letters"):
        targets.attach(replace(TARGET, name=33 * "a"))


@pytest.mark.parametrize("host", ["ml.example", "*.ml.example", "1", "a-b.c"])
def test_hosts_may_have_a_wildcard_in_front(tmp_path: Path, host: str) -> None:
    ComputeTargets(Home(tmp_path)).attach(replace(TARGET, ingress_host=host, model_claim="a.b-1"))


def test_advice_for_an_unknown_name_is_a_command_that_works(tmp_path: Path) -> None:
    runner = CliRunner(env={"DESPINA_HOME": str(tmp_path)})
    advice = runner.invoke(cli, ["compute", "show", "aks-gpu"]).stderr
    command = advice.split("`")[1].replace("IMAGE", "despina:1").replace("CLAIM", "models")
    attached = runner.invoke(cli, command.split()[1:])
    assert attached.exit_code == 0, attached.output


@pytest.mark.parametrize("content", ['{"name": ', "{}", "[]", "null"])
def test_a_file_that_is_damaged_is_named_and_can_be_replaced(tmp_path: Path, content: str) -> None:
    targets = ComputeTargets(Home(tmp_path))
    targets.attach(TARGET)
    path = tmp_path / "compute" / "aks-gpu.json"
    path.write_text(content)
    for look in (targets.all, lambda: targets.get("aks-gpu"), lambda: targets.get("other")):
        with pytest.raises(Internal, match=f"^{path} is damaged: .*; restore it, or remove it$"):
            look()
    targets.attach(TARGET, overwrite=True)
    assert targets.all() == [TARGET]


@pytest.mark.parametrize("target", [replace(TARGET, model_claim=None), replace(TARGET, model_url="https://x")])
def test_models_come_from_exactly_one_place(tmp_path: Path, target: ComputeTarget) -> None:
    with pytest.raises(InvalidArgument, match="either --model-claim CLAIM or --model-url URL"):
        ComputeTargets(Home(tmp_path)).attach(target)


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner(env={"DESPINA_HOME": str(tmp_path / "home")})
    config = tmp_path / "config"
    config.touch()
    monkeypatch.chdir(tmp_path)
    words = ["compute", "attach", "aks-gpu", "--image=despina:1", "--kubeconfig=config", "--context=c"]
    words += ["--namespace=ml", "--model-claim=models", "--expose=load-balancer", "--scaling-metric=cpu"]
    words += ["--ingress-class=nginx", "--ingress-host=ml.example", "--tls-secret=tls", "--pull-secret=pull"]
    attached = runner.invoke(cli, words)
    assert attached.exit_code == 0, attached.output
    assert json.loads(attached.stdout) == {
        "name": "aks-gpu",
        "computeType": "Kubernetes",
        "image": "despina:1",
        "namespace": "ml",
        "kubeconfig": str(config),
        "context": "c",
        "modelClaim": "models",
        "modelUrl": None,
        "expose": "load-balancer",
        "ingressClass": "nginx",
        "ingressHost": "ml.example",
        "tlsSecret": "tls",
        "pullSecret": "pull",
        "scalingMetric": "cpu",
    }
    assert attached.stderr == "attached aks-gpu\n"
    assert "say --overwrite to replace it" in runner.invoke(cli, words).stderr
    assert runner.invoke(cli, [*words, "--overwrite"]).exit_code == 0
    assert json.loads(runner.invoke(cli, ["compute", "show", "aks-gpu"]).stdout)["kubeconfig"] == str(config)
    assert "aks-gpu" in runner.invoke(cli, ["compute", "list", "-o", "table"]).stdout
    assert runner.invoke(cli, ["compute", "detach", "aks-gpu"]).exit_code == 0
    gone = runner.invoke(cli, ["compute", "show", "aks-gpu"])
    assert gone.exit_code == 1
    assert "compute target aks-gpu is not attached; have none" in gone.stderr
