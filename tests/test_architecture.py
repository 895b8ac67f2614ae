"""The rules of the house, read from the source itself: see docs/decisions/0001.

Each rule is a function from modules to findings, ``file:line: what``. The package must give none;
a small package that breaks every rule shows below that each of them finds what it should.
"""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "dpr"

# A room imports from rooms in the lines above its own, never from its own line or below. A new room
# takes its place here.
ORDER = (
    ("errors",),
    ("records", "settings"),
    ("filters",),
    ("client",),
    ("corpus", "tokens"),
    ("questions",),
    ("models",),
    ("indexes",),
    ("evaluation",),
    ("fusion",),
    ("collection",),
    ("search",),
    ("encoding",),
    ("reading",),
    ("confidence",),
    ("samples",),
    ("training",),
    ("shipped",),
    ("interchange",),
    ("pipeline",),
    ("demo",),
    ("assistants", "serve"),
    ("cli",),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

# Rooms and modules without torch, and the packages they may import when they are imported. More
# is for functions that need more.
WITHOUT_TORCH: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "settings": set(),
    "shipped": set(),
    "filters": set(),
    "client": set(),
    "corpus.duplicates": {"numpy"},
    "corpus.minhash": {"numpy"},
    "corpus": set(),
    "tokens": {"numpy", "tokenizers"},
    "questions": set(),
    "models.config": set(),
    "models.files": set(),
    "models.hub": set(),
    "indexes.index": {"numpy"},
    "indexes.int8": {"numpy"},
    "indexes.ordering": {"numpy"},
    "indexes.pages": {"numpy"},
    "collection": {"numpy", "pyarrow"},
    "evaluation": {"numpy"},
    "fusion": {"numpy"},
    "serve.settings": set(),
}

# The packages of pyproject.toml, under the names they are imported by.
DEPENDENCIES = {
    "bm25s",
    "Stemmer",
    "huggingface_hub",
    "numpy",
    "pyarrow",
    "rich",
    "safetensors",
    "tokenizers",
    "torch",
    "typer",
}
EXTRAS = {
    "accelerate",
    "docx",
    "faiss",
    "httpx2",
    "ir_measures",
    "jinja2",
    "matplotlib",
    "pypdf",
    "regex",
    "sentence_transformers",
}

# A room that is there for an extra alone, and its packages: they are imported as it is. Whoever
# needs the room imports it in a function, but for its modules that need no package.
WHOLE_ROOMS = {
    "assistants": {"mcp", "mcp_types", "pydantic"},
    "serve": {
        "fastapi",
        "httptools",
        "jinja2",
        "opentelemetry",
        "prometheus_client",
        "pydantic",
        "pydantic_core",
        "starlette",
        "uvicorn",
    },
}

NETWORK = {
    "aiohttp",
    "ftplib",
    "http.client",
    "http.server",
    "httpx",
    "httpx2",
    "requests",
    "smtplib",
    "socket",
    "socketserver",
    "urllib.request",
    "urllib3",
}
UNSAFE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
VAGUE = {"common", "helpers", "misc", "util", "utils"}

FILE_LINES = 400
FUNCTION_LINES = 60
# What may be longer, and why. "file.py" or "file.py:function".
LONGER: dict[str, str] = {}

When = Literal["import", "call", "typing"]


class Import(NamedTuple):
    """One imported module: ``when`` it is imported, or that only type checkers see it."""

    target: str
    line: int
    when: When


@dataclass(frozen=True)
class Module:
    """A parsed file. ``name`` is dotted and without the package's own: ``corpus.html``."""

    path: str
    name: str
    tree: ast.Module
    lines: int
    imports: tuple[Import, ...]

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    def at(self, line: int, text: str) -> str:
        return f"{self.path}:{line}: {text}"


def read_package(root: Path) -> list[Module]:
    """Every module of the package ``dpr`` that lies in a folder, imports resolved."""
    paths = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in sorted(root.rglob("*.py"))
    }
    paths = {name.removesuffix("__init__").rstrip("."): path for name, path in paths.items()}
    known = {f"dpr.{name}".rstrip(".") for name in paths}
    modules = []
    for name, path in paths.items():
        text = path.read_text(encoding="utf-8")
        tree = parsed(text)
        parts = ["dpr", *path.relative_to(root).parent.parts]
        found = tuple(dict.fromkeys(imports_of(tree, parts, known)))
        where = path.relative_to(root).as_posix()
        modules.append(Module(where, name, tree, len(text.splitlines()), found))
    return modules


def parsed(text: str) -> ast.Module:
    """The syntax tree. Without looking for garbage meanwhile: where garbage of other tests tells of
    itself as it goes, with code that is parsed too, Python before 3.11.8 fails (its gh-106905)."""
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()


def imports_of(
    node: ast.AST, package: list[str], known: set[str], when: When = "import"
) -> Iterator[Import]:
    """The imports below a node. ``from a import b`` names a.b where that is a module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, when) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            above = package[: len(package) + 1 - child.level] if child.level else []
            module = ".".join([*above, *filter(None, [child.module])])
            for inner in (f"{module}.{alias.name}" for alias in child.names):
                # urllib and http are packages whose modules the rules tell apart.
                is_module = inner in known or module in ("urllib", "http")
                if inner != "dpr.__version__":  # which is for every room
                    yield Import(inner if is_module else module, child.lineno, when)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from imports_of(ast.Module([statement], []), package, known, "typing")
            for statement in child.orelse:
                yield from imports_of(ast.Module([statement], []), package, known, when)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_of(child, package, known, "typing" if when == "typing" else "call")
        else:
            yield from imports_of(child, package, known, when)


def own(target: str) -> str | None:
    """The name inside the package, "" for the package itself; None for what is not ours."""
    if target == "dpr":
        return ""
    return target.removeprefix("dpr.") if target.startswith("dpr.") else None


def outside(target: str) -> str | None:
    """The third-party package that a target belongs to; None for ours and Python's."""
    top = target.partition(".")[0]
    return None if top == "dpr" or top in sys.stdlib_module_names else top


# The rules.


def imports_up(modules: list[Module]) -> list[str]:
    """Imports only go down, for type checkers too; every room has its place."""
    findings = []
    for module in modules:
        if module.name == "":
            continue  # the public names come from everywhere
        if module.room not in LEVEL:
            findings.append(module.at(1, f"the room {module.room!r} has no place in ORDER"))
            continue
        for target, line, _ in module.imports:
            name = own(target)
            if name is None:
                continue
            room = name.partition(".")[0]
            if room == "":
                findings.append(module.at(line, "imports the package itself"))
            elif room != module.room and LEVEL.get(room, len(ORDER)) >= LEVEL[module.room]:
                findings.append(module.at(line, f"{module.room} imports {room}, not below it"))
    return findings


def import_cycles(modules: list[Module]) -> list[str]:
    """No module needs itself to be imported, not even through a function's imports."""
    names = {module.name for module in modules}
    graph = {
        module.name: {
            name
            for target, _, when in module.imports
            if when != "typing" and (name := own(target)) in names and name
        }
        for module in modules
        if module.name
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["a cycle of imports: " + " <- ".join(error.args[1])]
    return []


def torch_where_it_is_not_needed(modules: list[Module]) -> list[str]:
    """Rooms without torch import their own packages, and only rooms without torch."""
    findings = []
    for module in modules:
        allowed = _allowed(module.name)
        if allowed is None:
            continue
        for target, line, when in module.imports:
            package, name = outside(target), own(target)
            if when != "import":
                continue
            if package is not None and package not in allowed:
                findings.append(module.at(line, f"imports {package} when it is imported"))
            if name and _allowed(name) is None:
                findings.append(module.at(line, f"imports {name}, which may import torch"))
    return findings


def _allowed(name: str) -> set[str] | None:
    return next(
        (
            packages
            for free, packages in WITHOUT_TORCH.items()
            if name == free or name.startswith(free + ".")
        ),
        None,
    )


def undeclared_packages(modules: list[Module]) -> list[str]:
    """Only what pyproject.toml requires; extras, and what talks to the hub, in functions."""
    findings = []
    for module in modules:
        for target, line, when in module.imports:
            package, room = outside(target), (own(target) or "").partition(".")[0]
            light = _allowed(own(target) or "") is not None
            if when == "import" and room in WHOLE_ROOMS and module.room != room and not light:
                findings.append(module.at(line, f"imports {room} outside a function"))
            if package is None or when == "typing" or package in WHOLE_ROOMS.get(module.room, ()):
                continue
            if package not in DEPENDENCIES | EXTRAS:
                findings.append(module.at(line, f"imports {package}, which is not required"))
            elif when == "import" and package in EXTRAS | {"huggingface_hub"}:
                findings.append(module.at(line, f"imports {package} outside a function"))
    return findings


def network_modules(modules: list[Module]) -> list[str]:
    """Nothing but server and client talk over the network; files of models come through the hub."""
    return [
        module.at(line, f"imports {target}")
        for module in modules
        for target, line, _ in module.imports
        if module.room not in ("client", "serve") and not module.name.startswith("cli.serve")
        if target in NETWORK or target.partition(".")[0] in NETWORK
    ]


def code_from_data(modules: list[Module]) -> list[str]:
    """Nothing that is read can run: no pickle but in the converter, no eval, no exec."""
    findings = []
    for module in modules:
        converter = module.name.startswith("models.convert")
        for target, line, _ in module.imports:
            top = target.partition(".")[0]
            if top in UNSAFE and not (converter and top == "pickle"):
                findings.append(module.at(line, f"imports {top}"))
        for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
            called = ast.unparse(call.func)
            options = {one.arg: ast.unparse(one.value) for one in call.keywords}
            if called in {"eval", "exec", "compile", "__import__"}:
                findings.append(module.at(call.lineno, f"calls {called}"))
            if called == "torch.load" and options.get("weights_only") != "True":
                findings.append(module.at(call.lineno, "calls torch.load without weights_only"))
            if options.get("allow_pickle", "False") != "False":
                findings.append(module.at(call.lineno, f"{called} allows pickles"))
    return findings


def prints(modules: list[Module]) -> list[str]:
    """Only the command line writes to the terminal."""
    return [
        module.at(node.lineno, "calls print")
        for module in modules
        if module.room != "cli"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]


def missing_docstrings(modules: list[Module]) -> list[str]:
    """Every module says what it takes, gives and does not know."""
    silent = [module for module in modules if not ast.get_docstring(module.tree)]
    return [module.at(1, "no docstring") for module in silent]


def vague_names(modules: list[Module]) -> list[str]:
    """A module is named for what it is about."""
    return [
        module.at(1, "a name that says nothing")
        for module in modules
        if VAGUE & set(module.name.split("."))
    ]


def too_long(modules: list[Module], longer: Container[str] = LONGER) -> list[str]:
    """Files and functions that are read in one go. Decorators do not count, docstrings do."""
    findings = []
    for module in modules:
        if module.lines > FILE_LINES and module.path not in longer:
            findings.append(module.at(1, f"{module.lines} lines, more than {FILE_LINES}"))
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES and f"{module.path}:{node.name}" not in longer:
                text = f"{node.name} has {lines} lines, more than {FUNCTION_LINES}"
                findings.append(module.at(node.lineno, text))
    return findings


RULES = [
    imports_up,
    import_cycles,
    torch_where_it_is_not_needed,
    undeclared_packages,
    network_modules,
    code_from_data,
    prints,
    missing_docstrings,
    vague_names,
    too_long,
]


@pytest.fixture(scope="module")
def package() -> list[Module]:
    return read_package(SOURCE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: object, package: list[Module]) -> None:
    assert callable(rule)
    findings = rule(package)
    assert not findings, "\n".join([str(rule.__doc__), *findings])


def test_exceptions_are_needed_and_few(package: list[Module]) -> None:
    """An exception whose file or function is gone, or has become short, goes too."""
    assert len(LONGER) <= 3
    unexcused = too_long(package, longer=())
    for place, reason in LONGER.items():
        path, _, function = place.partition(":")
        assert reason
        assert any(
            one.startswith(f"{path}:") and (f" {function} has " in one if function else True)
            for one in unexcused
        ), f"{place} needs no exception any more"


def test_rooms_without_torch_load_none() -> None:
    """What the rule above reads, run: all of these rooms together in one fresh interpreter."""
    names = [module.name for module in read_package(SOURCE) if _allowed(module.name) is not None]
    assert len(names) > 20
    code = (
        "import sys, importlib\n"
        f"for name in {names!r}: importlib.import_module('dpr.' + name)\n"
        "print([name for name in ('torch', 'huggingface_hub', 'pypdf') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Each rule against a package that breaks it: file, text, and the finding.
BROKEN = [
    (imports_up, "corpus/a.py", "from dpr.models.bert import Bert", "corpus imports models"),
    (imports_up, "corpus/a.py", "def f():\n    import dpr.cli.ask", "corpus imports cli"),
    (imports_up, "corpus/a.py", "from dpr import indexes", "corpus imports indexes"),
    (imports_up, "corpus/a.py", "from dpr import Passage", "the package itself"),
    (
        imports_up,
        "corpus/a.py",
        "if TYPE_CHECKING:\n    import dpr.indexes.b",
        "corpus imports indexes",
    ),
    (imports_up, "corpus/a.py", "from ..indexes import b", "corpus imports indexes"),
    (imports_up, "attic.py", "x = 1", "no place in ORDER"),
    (import_cycles, "corpus/a.py", "from dpr.corpus import b", "corpus.a <- corpus.b <- corpus.a"),
    (import_cycles, "corpus/a.py", "def f():\n    from . import b", "a cycle of imports"),
    (torch_where_it_is_not_needed, "corpus/a.py", "import torch.nn", "imports torch when"),
    (torch_where_it_is_not_needed, "corpus/a.py", "try:\n    import numpy\nfinally: 1", "numpy"),
    (torch_where_it_is_not_needed, "shipped.py", "import dpr.indexes.b", "which may import torch"),
    (undeclared_packages, "indexes/a.py", "def f():\n    import transformers", "not required"),
    (undeclared_packages, "indexes/a.py", "import huggingface_hub", "outside a function"),
    (undeclared_packages, "cli/a.py", "import dpr.serve.app", "serve outside a function"),
    (undeclared_packages, "cli/a.py", "def f():\n    import fastapi", "not required"),
    (network_modules, "cli/a.py", "from urllib import request", "urllib.request"),
    (network_modules, "cli/a.py", "def f():\n    import socket", "socket"),
    (network_modules, "pipeline/a.py", "def f():\n    import httpx2", "httpx2"),
    (undeclared_packages, "client/a.py", "import httpx2", "outside a function"),
    (code_from_data, "indexes/a.py", "from pickle import Unpickler", "imports pickle"),
    (code_from_data, "models/convert.py", "import marshal", "imports marshal"),
    (code_from_data, "indexes/a.py", "eval('1')", "calls eval"),
    (code_from_data, "indexes/a.py", "torch.load(x)", "without weights_only"),
    (code_from_data, "indexes/a.py", "np.load(x, allow_pickle=True)", "allows pickles"),
    (prints, "indexes/a.py", "print(1)", "calls print"),
    (missing_docstrings, "indexes/a.py", "", "no docstring"),
    (vague_names, "index/utils.py", "", "says nothing"),
    (too_long, "indexes/a.py", "x = 1\n" * 401, "401 lines"),
    (too_long, "indexes/a.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
]

KEPT = [
    (imports_up, "corpus/a.py", "from dpr import __version__\nfrom dpr.records import Passage"),
    (import_cycles, "corpus/a.py", "if TYPE_CHECKING:\n    from dpr.corpus import b"),
    (torch_where_it_is_not_needed, "tokens/a.py", "import numpy\ndef f():\n    import torch"),
    (undeclared_packages, "corpus/a.py", "import json\ndef f():\n    import pypdf"),
    (undeclared_packages, "serve/a.py", "import fastapi\nfrom dpr.serve import b"),
    (undeclared_packages, "cli/a.py", "def f():\n    import dpr.serve.app"),
    (network_modules, "indexes/a.py", "from urllib.parse import urlsplit"),
    (network_modules, "serve/a.py", "import socket"),
    (network_modules, "client/a.py", "def f():\n    import httpx2"),
    (code_from_data, "models/convert.py", "import pickle"),
    (code_from_data, "indexes/a.py", "model.eval()\ntorch.load(x, weights_only=True)"),
    (prints, "cli/a.py", "print(1)"),
    (missing_docstrings, "indexes/a.py", '"""Says it."""'),
    (too_long, "indexes/a.py", "x = 1\n" * 400),
    (too_long, "indexes/a.py", "def f():\n" + "    x = 1\n" * 59),
]


def write_package(root: Path, path: str, text: str) -> list[Module]:
    """Two modules that import one another once the first imports the second."""
    for room in (root / "corpus", root / "indexes"):
        room.mkdir()
        (room / "__init__.py").touch()
        (room / "b.py").write_text("import dpr.corpus.a\n", encoding="utf-8")
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")
    return [module for module in read_package(root) if module.path in (path, "corpus/b.py")]


@pytest.mark.parametrize(("rule", "path", "text", "finding"), BROKEN)
def test_a_broken_rule_is_found(
    rule: object, path: str, text: str, finding: str, tmp_path: Path
) -> None:
    assert callable(rule)
    findings = rule(write_package(tmp_path, path, text))
    assert any(finding in one for one in findings), findings


@pytest.mark.parametrize(("rule", "path", "text"), KEPT)
def test_what_is_allowed_is_not_found(rule: object, path: str, text: str, tmp_path: Path) -> None:
    assert callable(rule)
    findings = rule(write_package(tmp_path, path, text))
    assert not [one for one in findings if path in one or "cycle" in one]
