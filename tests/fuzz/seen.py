"""Which parts of the package an input gets to: without that, a fuzzer is blind.

Rule: modules are rewritten as they are imported, so this must be called before the first of them is. Each block of a
function notes that it ran: 30 ns. (atheris does this too, and only on Linux and x86_64 up to some version of Python;
sys.settrace would take ten times as long, sys.monitoring begins with Python 3.12.)
"""

import ast
import builtins
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

_MOST_BLOCKS = 1 << 15
_NAME = "__gatebook_seen__"

_seen = bytearray(_MOST_BLOCKS)
_nothing = bytes(_MOST_BLOCKS)
_blocks = 0


def watch(package: str = "gatebook") -> None:
    """From now on modules of this package note what runs of them."""
    if any(name.startswith(package + ".") for name in sys.modules):
        raise RuntimeError(f"{package} has been imported already")
    setattr(builtins, _NAME, _seen)
    sys.meta_path.insert(0, _Finder(package))


def forget() -> None:
    """Before an input is tried."""
    _seen[:] = _nothing


def blocks() -> int:
    """The blocks that have run since, as the bits (one in eight) of a number."""
    return int.from_bytes(_seen, "little")


def count(seen: int) -> int:
    return seen.bit_count()


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith(self._package + "."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> types.CodeType:
        tree = _Noting().visit(ast.parse(self.get_data(self.path)))
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)


class _Noting(ast.NodeTransformer):
    """Puts a note at the beginning of each block within a function."""

    def __init__(self) -> None:
        self._inside = 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        self._inside += is_function
        super().generic_visit(node)
        if self._inside:
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                    block.insert(_after_docstring(block) if is_function else 0, _note())
        self._inside -= is_function
        return node


def _after_docstring(block: list[Any]) -> int:
    first = block[0]
    return int(isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant))


def _note() -> ast.stmt:
    global _blocks
    _blocks = (_blocks + 1) % _MOST_BLOCKS
    return ast.parse(f"{_NAME}[{_blocks}] = 1").body[0]
