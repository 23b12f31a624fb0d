"""Cases of metrics over programs: from texts in memory to scores, parsing included."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import divfast
from divfast.samples import Samples
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.peers import paper_code
from divfast.views.code import Code

_DUMP = Path("humaneval__codegen-16b-mono@T0.8.jsonl.gz")
_PAPER_SCRIPT = Path("scripts", "compute_code_diversity.py")


def _programs(place: Place, prompts: int, samples: int) -> list[list[str]]:
    """Return completions of HumanEval, joined to their prompts and cut where they go on to something else."""
    path = inputs.folder(place, "codet") / _DUMP
    dump = Samples.concat(list(divfast.read(path, columns=())))
    programs = [
        Code()
        .programs(Samples.from_lists([dump.outputs(i)[:samples]], prompts=[dump.prompts[i].as_py()]))[0]
        .strings()
        for i in range(min(prompts, len(dump)))
    ]
    # However often: sizes beyond the dump are made of more prompts of the same programs.
    return [programs[i % len(programs)] for i in range(prompts)]


def _work(programs: list[list[str]]) -> dict[str, float]:
    return {
        "samples": sum(map(len, programs)),
        "bytes": sum(len(text) for group in programs for text in group),
    }


def _ast(place: Place, *, prompts: int, samples: int) -> Prepared:
    programs = _programs(place, prompts, samples)
    held = Samples.from_lists(programs)
    specs = ["ast", "ast_distinct"]
    options: dict[str, Any] = {"preset": "paper", "scopes": ["prompt"], "continuation": "never"}
    return Prepared(
        lambda: divfast.score(held, specs, **options),
        lambda report: {spec: np.array([report[spec].value]) for spec in specs},
        _work(programs),
    )


def _ast_paper(place: Place, *, prompts: int, samples: int) -> Prepared:
    programs = _programs(place, prompts, samples)
    _, versions = paper_code(place)
    assert place.paper_code is not None
    path = place.paper_code / _PAPER_SCRIPT
    spec = importlib.util.spec_from_file_location("paper_code_diversity", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise Absent(f"the checkout of the paper's code has no {_PAPER_SCRIPT}")
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.path.insert(0, str(place.paper_code))
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            spec.loader.exec_module(module)
    except ImportError as error:
        raise Absent(f"the paper's code needs {error.name}") from None
    finally:
        sys.path[:] = before

    def values(found: Any) -> dict[str, Any]:
        return {
            "ast": np.array([found["ast_pairwise"]]),
            "ast_distinct": np.array([found["ast_distinct"]]),
        }

    return Prepared(lambda: module.compute_ast_metrics(programs), values, _work(programs), versions)


def _tree_edit(place: Place, *, prompts: int, samples: int) -> Prepared:
    programs = _programs(place, prompts, samples)
    held = Samples.from_lists(programs)
    options: dict[str, Any] = {"scopes": ["prompt"], "continuation": "never"}
    return Prepared(
        lambda: divfast.score(held, ["tree_edit"], **options),
        lambda report: {"per prompt": report["tree_edit"].values},
        _work(programs),
    )


def _tree_edit_zss(place: Place, *, prompts: int, samples: int) -> Prepared:
    import ast

    programs = _programs(place, prompts, samples)
    if prompts * samples > 100:
        raise Absent("takes minutes for more than 100 programs")
    try:
        import zss
    except ImportError:
        raise Absent("zss is not installed") from None

    def converted(node: ast.AST) -> tuple[Any, int]:
        held = {
            name: [repr(part) for part in value if not isinstance(part, ast.AST)]
            if isinstance(value, list)
            else repr(value)
            for name, value in ast.iter_fields(node)
            if not isinstance(value, ast.AST)
        }
        made, nodes = zss.Node(f"{type(node).__name__}{held}"), 1
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr_context):
                below, more = converted(child)
                made.addkid(below)
                nodes += more
        return made, nodes

    def parsed(group: list[str]) -> list[tuple[Any, int]]:
        found = []
        for text in group:
            with contextlib.suppress(SyntaxError, ValueError):
                found.append(converted(ast.parse(text)))
        return found

    def run() -> list[float]:
        means = []
        for group in programs:
            distances = []
            for (a, m), (b, n) in combinations(parsed(group), 2):
                d = zss.simple_distance(a, b, label_dist=lambda x, y: int(x != y))
                distances.append(2 * d / (m + n + d))
            means.append(float(np.mean(distances)) if distances else np.nan)
        return means

    return Prepared(run, lambda means: {"per prompt": np.array(means)}, _work(programs))


_PACKAGES = ("numpy", "pyarrow")

CASES = (
    Case(
        "ast",
        "subtrees of Python programs, distance of all pairs and different ones, from texts in memory",
        tuple({"prompts": prompts, "samples": 100} for prompts in (164, 100, 1000)),
        {"prompts": 12, "samples": 40},
        (Implementation("divfast", _ast, _PACKAGES), Implementation("paper", _ast_paper, ("numpy",))),
        Tolerance(relative=1e-9),
        Goal(ratio=50),
    ),
    Case(
        "tree_edit",
        "edit distance of the syntax trees of all pairs of a prompt, from texts in memory",
        ({"prompts": 164, "samples": 20}, {"prompts": 10, "samples": 10}),
        {"prompts": 4, "samples": 5},
        (Implementation("divfast", _tree_edit, _PACKAGES), Implementation("zss", _tree_edit_zss, ("zss",))),
        Tolerance(relative=1e-9),
    ),
)
