"""What a diffusers pipeline takes, read from its source: importing diffusers would load PyTorch."""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def arguments(kind: str) -> frozenset[str] | None:
    """The names of the arguments of a pipeline class's `__call__`; None if diffusers has no such class."""
    for file in _files():
        text = file.read_text("utf-8")
        if f"class {kind}(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name == kind:
                calls = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__call__"]
                if not calls:
                    return None  # it inherits its own
                return frozenset(each.arg for call in calls for each in [*call.args.args, *call.args.kwonlyargs])
    return None


@cache
def _files() -> tuple[Path, ...]:
    spec = find_spec("diffusers")
    places = spec.submodule_search_locations if spec is not None else None
    return tuple(sorted(Path(places[0]).glob("pipelines/**/pipeline_*.py"))) if places else ()
