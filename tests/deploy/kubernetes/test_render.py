import json
import stat
from pathlib import Path

import pytest
from tests.support.workloads import workload

from despina.deploy.kubernetes.manifests import manifests
from despina.deploy.kubernetes.render import to_list, write_manifests


def test_each_manifest_is_a_file_in_the_order_of_applying(tmp_path: Path) -> None:
    documents = manifests(workload())
    paths = write_manifests(documents, tmp_path / "out")
    assert [path.name for path in paths] == [
        "triton-webservice-0-configmap.json",
        "triton-webservice-1-secret.json",
        "triton-webservice-2-service.json",
        "triton-webservice-3-deployment.json",
        "triton-webservice-4-poddisruptionbudget.json",
        "triton-webservice-5-horizontalpodautoscaler.json",
        "triton-webservice-6-ingress.json",
    ]
    assert [json.loads(path.read_bytes()) for path in paths] == documents


def test_only_the_owner_reads_the_secret(tmp_path: Path) -> None:
    paths = write_manifests(manifests(workload()), tmp_path)
    closed = [path.name for path in paths if not stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert closed == ["triton-webservice-1-secret.json"]


def test_what_a_service_no_longer_has_is_removed_and_other_files_stay(tmp_path: Path) -> None:
    others = [tmp_path / "triton-webservice-notes.json", tmp_path / "triton-webservice-b-0-configmap.json"]
    others[0].write_text("[]")
    others[1].write_text('{"metadata": {"labels": {"app.kubernetes.io/instance": "triton-webservice-b"}}}')
    write_manifests(manifests(workload()), tmp_path)
    paths = write_manifests(manifests(workload(authEnabled=False, numReplicas=1)), tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*paths, *others])


def test_what_there_is_no_room_for_leaves_the_keys(tmp_path: Path) -> None:
    secret = write_manifests(manifests(workload()), tmp_path)[1]
    keys, before = secret.read_bytes(), sorted(tmp_path.iterdir())
    documents = manifests(workload())
    documents[0]["data"] = object()  # as a disk that is full, it ends the writing of this file
    with pytest.raises(TypeError):
        write_manifests(documents, tmp_path)
    assert secret.read_bytes() == keys
    assert sorted(tmp_path.iterdir()) == before


def test_a_list_holds_them_all() -> None:
    documents = manifests(workload())
    assert json.loads(to_list(documents)) == {"apiVersion": "v1", "kind": "List", "items": documents}
