"""The Python client of an Underpaint server.

    from underpaint import Underpaint

    with Underpaint() as client:
        client.generate("red heart", seed=7)[0].save("heart.png")

`AsyncUnderpaint` is the same for asyncio and trio. Nothing of the server is imported, and no PyTorch.
"""

from underpaint.asynchronous import AsyncUnderpaint
from underpaint.documents import (
    Check,
    DoneEvent,
    Event,
    Health,
    Image,
    Iterate,
    IterateEvent,
    Job,
    JobPage,
    JobRequest,
    Model,
    Picture,
    Readiness,
    Request,
    StateEvent,
)
from underpaint.errors import (
    BadAddress,
    BadKey,
    Conflict,
    FieldError,
    Forbidden,
    InvalidRequest,
    JobCanceled,
    JobFailed,
    NotFound,
    Problem,
    ServerFault,
    TimedOut,
    TooMany,
    Unauthorized,
    UnderpaintError,
    UnexpectedAnswer,
    Unreachable,
)
from underpaint.synchronous import Underpaint

__all__ = [
    "Underpaint",
    "AsyncUnderpaint",
    # what is asked and answered
    "Request",
    "Job",
    "JobRequest",
    "JobPage",
    "Image",
    "Iterate",
    "Picture",
    "Event",
    "StateEvent",
    "IterateEvent",
    "DoneEvent",
    "Model",
    "Health",
    "Readiness",
    "Check",
    # what goes wrong
    "UnderpaintError",
    "BadAddress",
    "BadKey",
    "Unreachable",
    "UnexpectedAnswer",
    "TimedOut",
    "JobFailed",
    "JobCanceled",
    "Problem",
    "FieldError",
    "InvalidRequest",
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "Conflict",
    "TooMany",
    "ServerFault",
]
