"""divfast/_core.pyi says what csrc/bind_*.cpp do: the same names, arguments and defaults."""

import ast
import inspect
from pathlib import Path

import pytest

from divfast import _core

STUB = ast.parse((Path(__file__).resolve().parent.parent / "divfast" / "_core.pyi").read_text("utf-8"))


def public(name):
    return not name.startswith("_") or name in ("__init__", "__len__")


def written(body):
    """Return what a stub declares: name -> its node, classes opened."""
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and public(node.name):
            found[node.name] = node
        if isinstance(node, ast.ClassDef) and public(node.name):
            found[node.name] = node
            found |= {f"{node.name}.{name}": method for name, method in written(node.body).items()}
    return found


def compiled(home, prefix=""):
    """Return what a compiled module or class holds: name -> object."""
    found = {}
    for name, thing in vars(home).items():
        if public(name):
            found[prefix + name] = thing
            if inspect.isclass(thing):
                found |= compiled(thing, f"{name}.")
    return found


def arguments(node):
    """Return (name, default) of every argument."""
    given = [*node.args.posonlyargs, *node.args.args]
    defaults = [None] * (len(given) - len(node.args.defaults)) + [
        ast.literal_eval(d) for d in node.args.defaults
    ]
    return [(argument.arg, default) for argument, default in zip(given, defaults, strict=True)]


WRITTEN, COMPILED = written(STUB.body), compiled(_core)


def test_same_names():
    assert WRITTEN.keys() == COMPILED.keys()


@pytest.mark.parametrize("name", [name for name, thing in COMPILED.items() if inspect.isroutine(thing)])
def test_same_arguments(name):
    # pybind11 writes the signature as the first line of the docstring.
    signature = ast.parse(f"def {COMPILED[name].__doc__.splitlines()[0]}: ...").body[0]
    assert arguments(WRITTEN[name]) == arguments(signature)


@pytest.mark.parametrize("name", [name for name, node in WRITTEN.items() if not name.endswith("__")])
def test_every_name_is_described(name):
    assert ast.get_docstring(WRITTEN[name])
