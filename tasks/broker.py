"""kombu's Redis as our broker. What lies in Redis is input: a value or a message that is none of ours is dropped.

kombu trusts both. A key of another kind would stop every worker until somebody removes it, and a message that is no
JSON would end a worker. Nothing is lost with them: the janitor calls a worker for every job that waits.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingSuperCall=false
# kombu has no types.

import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import ResponseError

from store.redis_kinds import drop_wrong, is_wrong_kind

QUEUE = "underpaint"
WORK = "underpaint.work"

KINDS = {
    QUEUE: "list",
    f"_kombu.binding.{QUEUE}": "set",
    "unacked": "hash",
    "unacked_index": "zset",
    "unacked_mutex": "string",
}
"""The keys that kombu uses for the queue, and what they hold."""
PRIORITIES = (3, 6, 9)  # kombu has a list for each

log = logging.getLogger(__name__)


class Channel(kombu_redis.Channel):
    """A channel that drops what is not ours."""

    def mend(self) -> None:
        """Delete the keys that hold a value of another kind."""
        lists = {self._q_for_pri(QUEUE, priority): "list" for priority in PRIORITIES}
        with self.conn_or_acquire() as client:
            drop_wrong(client, KINDS | lists)

    def get_table(self, exchange: str) -> list[Any]:
        """See kombu."""
        try:
            return [row for row in super().get_table(exchange) if len(row) == 3]
        except ResponseError as error:
            if not is_wrong_kind(error):
                raise
            self.mend()
            return []

    def _put(self, queue: str, message: dict[str, Any], **options: Any) -> None:
        try:
            super()._put(queue, message, **options)
        except ResponseError as error:
            if not is_wrong_kind(error):
                raise
            self.mend()
            super()._put(queue, message, **options)

    def _size(self, queue: str) -> Any:
        try:
            return super()._size(queue)
        except ResponseError as error:
            if not is_wrong_kind(error):
                raise
            self.mend()
            return 0

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except ResponseError as error:
            if not is_wrong_kind(error):
                raise
            self.mend()
            raise Empty from error
        except ValueError as error:
            log.warning("a message in the queue is no JSON, dropped")
            raise Empty from error


class Transport(kombu_redis.Transport):
    """The transport with these channels."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        if queue == QUEUE and not _is_ours(message):
            log.warning("a message in the queue calls for no work of ours, dropped")
            return
        try:
            super()._deliver(message, queue)
        except ResponseError as error:
            if not is_wrong_kind(error):
                raise
            for channel in self.channels or ():
                channel.mend()
            super()._deliver(message, queue)


def use() -> None:
    """Have kombu use this transport for URLs of Redis."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


def _is_ours(message: Any) -> bool:
    match message:
        case {
            "body": str(),
            "headers": {"task": task, "id": str()},
            "properties": {"delivery_tag": str(), "delivery_info": {"exchange": str(), "routing_key": str()}},
        }:
            return task == WORK
        case _:
            return False
