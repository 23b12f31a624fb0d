"""The project installs from a wheel, from an sdist and in place, on every Python it names, and brings only itself.

Interpreters are looked for on the PATH and among pyenv's; those that are not there are skipped. Slow: the core is
compiled once for each of them, and once more in place.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parent.parent
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSIONS = re.findall(
    r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text("utf-8")
)
EXTRAS = {
    *("embed", "minilm", "gpu", "cluster", "programs", "verify"),
    *("generate", "report", "ray", "all", "bench", "test"),
}
SCORE = """
import sys, divfast
report = divfast.score([["a b", "a c"]], ["ead", "distinct:n=1"])
assert report["distinct:n=1"].mean == 0.75
assert round(report["ead"].mean, 3) == 0.875
assert not {"numba", "click", "torch"} & set(sys.modules)
print(divfast.__file__)
"""


def surroundings():
    """The environment without what would lead a fresh interpreter back to this one."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command, cwd):
    """Return what a command prints; fail with its errors, skip where only the packages it needs are out of reach."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=surroundings(), capture_output=True, text=True, check=False)
    unreachable = re.search(r"No matching distribution found for (\S+)", done.stderr)
    if unreachable and not os.environ.get("CI"):
        pytest.skip(f"{unreachable[1]} is not within reach of pip")
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def interpreter(version):
    """Return a Python of this version, or skip."""
    if version == HERE:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for candidate in (
        shutil.which(f"python{version}"),
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python")),
    ):
        # A name on the PATH may be a shim with nothing behind it.
        says = "import sys; print('%d.%d' % sys.version_info[:2])"
        if candidate is not None:
            done = subprocess.run([candidate, "-c", says], capture_output=True, text=True, check=False)
            if done.stdout.strip() == version:
                return candidate
    pytest.skip(f"there is no Python {version} here")


class Environment:
    """A fresh virtual environment; the pip of this one works for it."""

    def __init__(self, python, folder):
        self.folder = folder
        self.python = folder / "bin" / "python"
        run(python, "-m", "venv", "--without-pip", folder, cwd=ROOT)

    def pip(self, *words):
        constraints = ("-c", ROOT / "constraints.txt") if words[0] == "install" else ()
        return run(
            *(sys.executable, "-m", "pip", "--python", self.python, *words, *constraints, "--quiet"),
            cwd=self.folder,
        )

    @property
    def packages(self):
        """What lies in site-packages."""
        (folder,) = self.folder.glob("lib/python*/site-packages")
        return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The project as a clean clone would have it."""
    folder = tmp_path_factory.mktemp("tree") / "divfast"
    leftovers = (
        ".git",
        ".venv*",
        ".*_cache",
        ".hypothesis",
        "build",
        "dist",
        "run",
        "*.so",
        "*.egg-info",
        "__pycache__",
    )
    # .ci/run is a file of the project; a folder of that name at the top is what `score -o run` leaves.
    ignore = shutil.ignore_patterns(*(name for name in leftovers if name != "run"))
    shutil.copytree(ROOT, folder, ignore=ignore)
    shutil.rmtree(folder / "run", ignore_errors=True)
    return folder


@pytest.fixture(scope="module")
def sdist(tree, tmp_path_factory):
    """The source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    run(
        *(
            sys.executable,
            "-c",
            "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])",
        ),
        folder,
        cwd=tree,
    )
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheels(tree, sdist, tmp_path_factory):
    """Return a function from a version to (environment, wheel): from the sdist here, from the tree elsewhere."""
    made = {}

    def build(version):
        if version not in made:
            folder = tmp_path_factory.mktemp(f"python{version}")
            environment = Environment(interpreter(version), folder / "env")
            environment.pip("wheel", "--no-deps", "-w", folder / "dist", sdist if version == HERE else tree)
            (wheel,) = (folder / "dist").iterdir()
            made[version] = environment, wheel
        return made[version]

    return build


def test_sdist_has_what_a_build_and_a_newcomer_need(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder, suffix in (
        ("csrc", ".?pp"),
        ("divfast", ".py*"),
        ("cli", ".py"),
        ("kernels", ".py"),
        ("tests", ".py"),
    ):
        there = [path.relative_to(ROOT) for path in (ROOT / folder).rglob(f"*{suffix}")]
        expected = {str(path) for path in there if "__pycache__" not in path.parts}
        assert expected <= names
    assert {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "Makefile",
        "constraints.txt",
        "constraints-vllm.txt",
        "divfast/py.typed",
    } <= names
    assert {"examples/demo/README.md", "examples/demo/base.jsonl", ".ci/run"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


@pytest.mark.parametrize("version", VERSIONS)
def test_wheel(version, wheels, tmp_path):
    environment, wheel = wheels(version)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {re.sub(r"-[\d.]+\w*\.dist-info", ".dist-info", name.split("/")[0]) for name in names} == {
        "divfast",
        "divfast.dist-info",
    }
    written = {
        "divfast/py.typed",
        "divfast/_core.pyi",
        "divfast/cli/__init__.py",
        "divfast/kernels/__init__.py",
    }
    assert written <= names
    assert len([name for name in names if re.fullmatch(r"divfast/_core\..*\.so", name)]) == 1
    assert not [name for name in names if name.endswith((".cpp", ".hpp", ".jsonl"))]

    before = environment.packages
    environment.pip("install", "--no-deps", wheel)
    assert {re.sub(r"-.*", "", name) for name in environment.packages - before} == {"divfast"}
    environment.pip("install", "numpy", "pyarrow")
    home = run(environment.python, "-c", SCORE, cwd=tmp_path)
    assert str(environment.folder) in home

    environment.pip("install", wheel)
    environment.pip("check")
    assert "score" in run(environment.folder / "bin" / "divfast", "--help", cwd=tmp_path)


def test_in_place_and_again_the_same_bytes(tree, wheels, tmp_path):
    environment = Environment(interpreter(HERE), tmp_path / "env")
    environment.pip("install", "--no-deps", "-e", tree)
    environment.pip("install", "numpy", "pyarrow")
    home = run(environment.python, "-c", SCORE, cwd=tmp_path)
    assert str(tree) in home
    assert {re.sub(r"-.*", "", name) for name in environment.packages if "editable" not in name} >= {
        "divfast"
    }
    assert not {"cli", "kernels", "csrc"} & environment.packages

    (built,) = (tree / "divfast").glob("_core.*.so")
    with zipfile.ZipFile(wheels(HERE)[1]) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        assert archive.read(name) == built.read_bytes()


def test_extras_are_those_of_the_plan(wheels):
    with zipfile.ZipFile(wheels(HERE)[1]) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = archive.read(name).decode()
    assert set(re.findall(r"^Provides-Extra: (\S+)", metadata, re.MULTILINE)) == EXTRAS
