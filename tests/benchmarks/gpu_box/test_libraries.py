from pathlib import Path

import pytest
from benchmarks.gpu_box.libraries import check_libraries, environment, library_folders, majors
from benchmarks.gpu_box.problem import Problem


def packages(root: Path, *files: str) -> list[Path]:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return library_folders([str(root), str(root / "absent"), str(root)])


def test_libraries_of_packages_and_of_torch_are_found(tmp_path: Path) -> None:
    files = ("nvidia/cublas/lib/libcublas.so.12", "nvidia/cu13/lib/libcudart.so.13", "torch/lib/libtorch.so")
    found = packages(tmp_path, *files, "other/lib/a.so", "nvidia/empty/lib/readme.txt")
    assert found == [tmp_path / "nvidia/cu13/lib", tmp_path / "nvidia/cublas/lib", tmp_path / "torch/lib"]
    assert majors(found) == {"libcublas": {12}, "libcudart": {13}}


@pytest.mark.parametrize(("present", "wanted", "fits"), [(12, 12, True), (12, 13, False), (None, 13, True)])
def test_another_major_version_of_cuda_is_a_problem(
    tmp_path: Path, present: int | None, wanted: int, fits: bool
) -> None:
    files = [] if present is None else [f"nvidia/cuda_runtime/lib/libcudart.so.{present}"]
    folders = packages(tmp_path, *files)
    if fits:
        check_libraries(folders, wanted)
        return
    with pytest.raises(Problem, match=r"was built for CUDA 13, and the packages here bring CUDA 12: take a wheel for"):
        check_libraries(folders, wanted)


def test_processes_find_packages_and_libraries_first() -> None:
    env = environment(Path("/t"), [Path("/a"), Path("/b")], {"LD_LIBRARY_PATH": "/c", "HOME": "/h"})
    packages, *sources = env["PYTHONPATH"].split(":")
    assert (packages, env["LD_LIBRARY_PATH"], env["HOME"]) == ("/t", "/a:/b:/c", "/h")
    assert [path.name for path in map(Path, sources) if path.is_dir()] == ["server", "backends"]
    assert env["ORT_DISABLE_TELEMETRY"] == "1"
