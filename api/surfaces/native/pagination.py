"""The cursor of a list of jobs: where a page ended, in an opaque form."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api.problems import InvalidRequest
from contract.problems import Code, FieldProblem
from store.reads import Position

# Microseconds since 1970, the resolution of PostgreSQL, and the id. 24 bytes: base64 needs no padding.
_LAYOUT = struct.Struct(">q16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode(position: Position) -> str:
    """A position as a cursor."""
    microseconds = (position.created_at - _EPOCH) // timedelta(microseconds=1)
    return urlsafe_b64encode(_LAYOUT.pack(microseconds, position.id.bytes)).decode()


def decode(cursor: str) -> Position:
    """A cursor as a position.

    Raises:
        InvalidRequest: it is not a cursor of this server.
    """
    try:
        microseconds, job = _LAYOUT.unpack(urlsafe_b64decode(cursor))
        return Position(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=job))
    except (ValueError, OverflowError, struct.error) as error:
        message = "is not a cursor of this server: send the next_cursor of a page as it is, or leave it out"
        raise InvalidRequest.of([FieldProblem("cursor", Code.VALUE, message)]) from error
