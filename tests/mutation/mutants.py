"""The mutants of a package: Cosmic Ray's mutations, less those that cannot change behaviour, drawn at random."""

import ast
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

# Only `make mutants` installs Cosmic Ray.
from cosmic_ray import plugins  # pyright: ignore[reportMissingImports]
from cosmic_ray.ast import ast_nodes, get_ast  # pyright: ignore[reportMissingImports]
from cosmic_ray.mutating import mutate_code  # pyright: ignore[reportMissingImports]
from cosmic_ray.operators.operator import Operator  # pyright: ignore[reportMissingImports]

Position = tuple[int, int]
"""A line and a column, as both syntax trees count them."""

# Cosmic Ray's other replacements of operators fail on nearly every operand, or make no difference.
USEFUL = re.compile(
    r"BinaryOperator_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_(Add|Sub|Mul)$|Mul_Div$|BitOr_BitAnd$|BitAnd_BitOr$|UnaryOperator_Delete"
    r"|ComparisonOperator_(Lt|LtE|Gt|GtE)_(Lt|LtE|Gt|GtE)$|Eq_NotEq$|NotEq_Eq$|Is_IsNot$|IsNot_Is$"
    r"|/(?!Replace(Binary|Comparison|Unary)Operator)"
)
# Without these nothing changes but types and speed.
DECORATORS = re.compile(
    r"dataclass|override|overload|final|cache|lru_cache|cached_property|abstractmethod|runtime_check"
)
LOGGING = re.compile(r"(await )?_?(log|logger|logging|warnings)\.")
TYPES = re.compile(r"\b(None|str|int|bytes|float|bool)\b")


@dataclass(frozen=True)
class Mutant:
    """The mutation of a file by the ``occurrence``-th use of an operator."""

    package: str
    file: str
    line: int
    operator: str
    occurrence: int

    def apply(self, source: str) -> str:
        """The mutated source."""
        code = mutate_code(source, operators()[self.operator], self.occurrence)
        assert code is not None
        return code

    @property
    def valid(self) -> bool:
        """Whether it compiles."""
        try:
            compile(self.apply(Path(self.file).read_text()), self.file, "exec")
        except (SyntaxError, AttributeError):  # Cosmic Ray raises the latter for an exception with a dot in its name
            return False
        return True


class DropCall(Operator):
    """Drops a statement that is a call. Cosmic Ray has no such operator."""

    def mutation_positions(self, node: Any) -> Any:
        first = node.children[0] if node.type == "simple_stmt" else node
        if first is not node and first.type == "atom_expr" and first.get_code().rstrip().endswith(")"):
            yield first.start_pos, first.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0] = get_ast(node.children[0].get_first_leaf().prefix + "pass")
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


def operators() -> dict[str, Any]:
    """The operators by name, without those that need arguments."""
    found = {name: plugins.get_operator(name) for name in plugins.operator_names() if USEFUL.search(name)}
    return {"DropCall": DropCall(), **{name: kind() for name, kind in found.items() if not kind.arguments()}}


def equivalent(source: str) -> Iterator[tuple[Position, Position, str]]:
    """Ranges in which mutations by the operators that a pattern matches change no behaviour."""
    for node in ast.walk(ast.parse(source)):
        parts: list[tuple[Any, str]] = [(getattr(node, name, None), "_Bit") for name in ("annotation", "returns")]
        if isinstance(node, ast.BinOp) and TYPES.search(ast.unparse(node)):
            parts.append((node, "_Bit"))  # a union of types
        if isinstance(node, ast.Expr) and LOGGING.match(ast.unparse(node)):
            parts.append((node, ""))
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) > 10:
            parts.append((node, "Number"))  # one more or less of many matters little
        if isinstance(node, ast.keyword) and node.arg in ("strict", "daemon"):
            parts.append((node.value, ""))  # a check of our own, and a matter of the process's end
        if isinstance(node, ast.If) and ast.unparse(node.test).startswith("__name__"):
            parts.append((node.test, ""))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]  # before it, * and ** mark parameters
            yield (node.lineno, node.col_offset), (first.lineno, first.col_offset), "Operator_(Mul|Pow)_"
        for part, pattern in parts:
            if part is not None:
                yield (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset), pattern
        for each in getattr(node, "decorator_list", []):
            if DECORATORS.match(ast.unparse(each)):
                yield (each.lineno, each.col_offset - 1), (each.end_lineno, each.end_col_offset), ""  # with its @


def draw(package: str, number: int, seed: int, without: Sequence[str] = ()) -> list[Mutant]:
    """Mutants of a package: positions at random, and at each of them one mutation at random. ``without``: files and
    folders that are left out."""
    found: defaultdict[tuple[Path, Position], list[Mutant]] = defaultdict(list)
    for path in sorted(Path(package).rglob("*.py")):
        if path.stem == "examples" or any(path.is_relative_to(each) for each in without):
            continue  # documents that are shown and not run
        source = path.read_text()
        tree, ranges = get_ast(source), list(equivalent(source))
        for name, operator in operators().items():
            positions = (place[0] for node in ast_nodes(tree) for place in operator.mutation_positions(node))
            for occurrence, position in enumerate(positions):
                if not any(a <= position < b and re.search(pattern, name) for a, b, pattern in ranges):
                    found[path, position].append(Mutant(package, str(path), position[0], name, occurrence))
    chance = random.Random(f"{seed} {package}")
    drawn = (chance.choice(found[key]) for key in chance.sample(list(found), len(found)))
    return list(islice((mutant for mutant in drawn if mutant.valid), number))
