"""The asynchronous client with a synchronous interface, so that each test runs with both clients."""

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from underpaint import AsyncUnderpaint


class Blocking:
    """`AsyncUnderpaint` with the methods of `Underpaint`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._client = AsyncUnderpaint(*arguments, **options)

    def __enter__(self) -> "Blocking":
        self._portal = start_blocking_portal()
        self._run: BlockingPortal = self._portal.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._run.call(self._client.close)
        self._portal.__exit__(*error)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if inspect.isasyncgenfunction(method):
            return lambda *args, **kwargs: self._each(method(*args, **kwargs))
        return lambda *args, **kwargs: self._run.call(partial(method, *args, **kwargs))

    def _each(self, items: AsyncGenerator[Any]) -> Iterator[Any]:
        try:
            while True:
                yield self._run.call(anext, items)
        except StopAsyncIteration:
            return
        finally:
            self._run.call(items.aclose)
