"""Logging: one line for each thing that happened, as text or as JSON, with its context.

Code logs what happened through the standard library. The context (request, job) is bound once and appears in every line
of the same thread or asyncio task, also in those of libraries. Prompts and keys are never logged.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from store.settings import LogSettings

# Fields that uvicorn and Celery add to their records, which repeat others with colours or as a dict.
DUPLICATES = ("color_message", "data", "taskName")
# Libraries that log every request at the level of our own messages.
NOISY = ("httpx",)

_bound: ContextVar[Mapping[str, str | int]] = ContextVar("underpaint_log_fields")


def bind(**fields: str | int) -> None:
    """Add these fields to every later line of this thread or asyncio task, and of the tasks that it starts."""
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
    """The value bound to ``name``, as text."""
    value = _bound.get({}).get(name)
    return None if value is None else str(value)


def adopt(*names: str) -> None:
    """Have these libraries log as we do: they have handlers of their own, which know nothing of our format. Only their
    errors are logged, since their warnings quote prompts."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.ERROR)


def where(error: BaseException) -> str:
    """The kind of an error, and where it was raised, for errors whose message may quote a prompt."""
    return "".join([f"{type(error).__name__}\n", *traceback.format_tb(error.__traceback__)]).rstrip()


def configure(settings: LogSettings, level: int | str | None = None) -> None:
    """Make this process and its libraries log to stderr. ``level`` overrides that of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_fields)
    handler.setFormatter(_json() if settings.log_format == "json" else Text())
    logging.basicConfig(handlers=[handler], level=level or settings.log_level, force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda hook: _log_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """The last words of a process or thread, in the format of all others."""
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logging.getLogger(__name__).critical("an error that nobody handled", exc_info=(kind, error, trace))


class Text(logging.Formatter):
    """A line for people: time (UTC), level, logger, message, and the bound fields whose values the message does not
    contain."""

    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, without a stack trace."""
        line = super().formatMessage(record)
        missing = [f"{name}={value}" for name, value in _bound.get({}).items() if str(value) not in record.message]
        return f"{line} [{' '.join(missing)}]" if missing else line


def _json() -> JsonFormatter:
    return JsonFormatter(
        ("levelname", "name", "message"),
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        timestamp="time",
        reserved_attrs=[*RESERVED_ATTRS, *DUPLICATES],
    )


def _add_fields(record: logging.LogRecord) -> bool:
    for name, value in _bound.get({}).items():
        setattr(record, name, value)
    return True
