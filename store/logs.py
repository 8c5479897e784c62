"""How processes log: one line for each thing that happened, as text or as JSON, and what it is about.

Code logs through the standard library and says what happened. What that is about (a request, a job) is bound once, and
then in every line of the same thread or asyncio task, whoever writes it. Neither prompts nor keys are ever logged.
"""

import logging
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from store.settings import LogSettings

# Fields that uvicorn and Celery add to their records: the same once more, with colours or as a dict.
TWICE = ("color_message", "data", "taskName")
# Libraries that tell of every request that they make, at the level at which we tell of jobs.
CHATTER = ("httpx",)

_bound: ContextVar[Mapping[str, str | int]] = ContextVar("underpaint_log_fields")


def bind(**fields: str | int) -> None:
    """Put these fields into every line from now on, in this thread or asyncio task and those that it starts."""
    _bound.set({**_bound.get({}), **fields})


@contextmanager
def bound(**fields: str | int) -> Generator[None]:
    """``bind`` while the context lasts."""
    token = _bound.set({**_bound.get({}), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def field(name: str) -> str | None:
    """What is bound to ``name``, as text."""
    value = _bound.get({}).get(name)
    return None if value is None else str(value)


def configure(settings: LogSettings, level: int | str | None = None) -> None:
    """Let this process log to stderr, all libraries included. ``level`` goes before that of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_fields)
    handler.setFormatter(_json() if settings.log_format == "json" else Text())
    logging.basicConfig(handlers=[handler], level=level or settings.log_level, force=True)
    logging.captureWarnings(True)
    for name in CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING)


class Text(logging.Formatter):
    """A line as people read it: time (UTC), level, logger, message, and those bound fields that the message does not
    tell."""

    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, without a stack trace."""
        line = super().formatMessage(record)
        untold = [f"{name}={value}" for name, value in _bound.get({}).items() if str(value) not in record.message]
        return f"{line} [{' '.join(untold)}]" if untold else line


def _json() -> JsonFormatter:
    return JsonFormatter(
        ("levelname", "name", "message"),
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        timestamp="time",
        reserved_attrs=[*RESERVED_ATTRS, *TWICE],
    )


def _add_fields(record: logging.LogRecord) -> bool:
    for name, value in _bound.get({}).items():
        setattr(record, name, value)
    return True
