"""Which package may import which: the drawing in CONTRIBUTING.md, enforced."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEAVES = {"despina", "despina.errors", "despina.memory", "despina.remember", "despina.settings", "despina.telemetry"}
LINGERING = "despina.lingering"
BASE = "despina_backends.base"
VOCABULARY = {"despina.protocol.messages", "despina.protocol.datatypes", "despina.protocol.bytes_tensor"}
ALLOWED = {
    "despina.errors": set[str](),
    LINGERING: set[str](),
    "despina.memory": set[str](),
    "despina.remember": set[str](),
    "despina.settings": set[str](),
    "despina.telemetry": {"despina", "despina.errors", "despina.settings"},
    "despina.shared_memory": LEAVES,
    "despina.protocol": LEAVES | {"despina.shared_memory"},
    "despina.config": LEAVES | {BASE},
    "despina.repository": LEAVES | {"despina.config"},
    "despina.scheduling": LEAVES | {BASE},
    "despina.models": LEAVES
    | VOCABULARY
    | {"despina.scheduling", "despina.config", "despina.repository", "despina.shared_memory", "despina_backends"},
    "despina.http": LEAVES
    | {
        "despina.protocol",
        "despina.models",
        "despina.scheduling",
        "despina.config",
        "despina.shared_memory",
        LINGERING,
        BASE,
        "despina_backends.cgroups",
        "despina_backends.interpreter",
    },
    "despina.grpc": LEAVES
    | {
        "despina.http",
        "despina.protocol",
        "despina.models",
        "despina.scheduling",
        "despina.config",
        "despina.shared_memory",
        LINGERING,
        "despina_backends.wire",
    },
    "despina.tuning": LEAVES
    | {"despina.models", "despina.config", "despina.repository", "despina.protocol.datatypes", BASE},
    "despina.deploy": {
        "despina",
        "despina.errors",
        "despina.config",
        "despina.repository",
        LINGERING,
        "despina_backends.wire",
    },
    "despina_backends": set[str](),
}
"""`despina.cli`, `despina.run` and `despina.server`, which put everything together, may import anything."""

SANS_IO = ("despina.protocol", "despina.scheduling", "despina.config", "despina.repository")


def imported(path: Path) -> Iterator[str]:
    """Modules that are imported at run time, in functions too; not what only a type checker sees."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending.extend(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            pending.extend(ast.iter_child_nodes(node))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


SOURCES = sorted([*ROOT.glob("server/**/*.py"), *ROOT.glob("backends/**/*.py")])
PURE = [path for path in SOURCES if any(within(module_of(path), package) for package in SANS_IO)]


def may_import(importer: str, module: str) -> bool:
    """`despina` stands for itself (its version), every other name for all below it."""
    if not (within(module, "despina") or within(module, "despina_backends")):
        return True
    home = next((package for package in ALLOWED if within(importer, package)), None)
    if home is None or within(module, home):
        return True
    allowed = ALLOWED[home]
    if module in ("despina", "despina.__version__"):
        return "despina" in allowed
    return any(within(module, package) for package in allowed - {"despina"})


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_go_one_way(path: Path) -> None:
    importer = module_of(path)
    assert [module for module in imported(path) if not may_import(importer, module)] == []


@pytest.mark.parametrize("path", PURE, ids=module_of)
def test_pure_packages_know_neither_the_web_nor_the_runtime(path: Path) -> None:
    outside = {name.partition(".")[0] for name in imported(path)}
    assert outside.isdisjoint({"starlette", "uvicorn", "onnxruntime", "httptools"})


def test_there_is_something_to_check() -> None:
    assert {"despina.settings", "despina.protocol.json", "despina_backends.base"} <= {*map(module_of, SOURCES)}
    assert {"despina.protocol.json", "despina.scheduling.batcher"} <= {*map(module_of, PURE)}


@pytest.mark.parametrize(
    ("importer", "module", "allowed"),
    [
        ("despina.http.app", "despina.models.model.Model", True),
        ("despina.models.model", "despina.http.app.Application", False),
        ("despina.grpc.service", "despina.http.auth.ApiKeys", True),
        ("despina.http.app", "despina.grpc.service", False),
        ("despina.scheduling.batcher", "despina_backends.base.Batch", True),
        ("despina.scheduling.batcher", "despina_backends.onnxruntime", False),
        ("despina.telemetry.metrics", "despina.errors.NotFound", True),
        ("despina.errors", "despina.telemetry.statistics", False),
        ("despina_backends.base", "despina.errors", False),
        ("despina.protocol.json", "despina.http.endpoint", False),
        ("despina.protocol.json", "orjson", True),
    ],
)
def test_the_rule_itself(importer: str, module: str, allowed: bool) -> None:
    assert may_import(importer, module) is allowed
