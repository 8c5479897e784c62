"""How messages list the values that a field may have."""

from collections.abc import Iterable


def choices(values: Iterable[str], quote: str = "") -> str:
    """ "a, b or c"."""
    *first, last = (f"{quote}{value}{quote}" for value in values)
    return f"{', '.join(first)} or {last}"
