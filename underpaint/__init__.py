"""The Python client of an Underpaint server.

    from underpaint import Underpaint

    with Underpaint() as client:
        client.generate("red heart", seed=7)[0].save("heart.png")

`AsyncUnderpaint` has the same methods for asyncio and trio. The client imports
nothing of the server but its contract, and no PyTorch.
"""

from contract.fields import Request
from contract.warnings import Warning
from underpaint.asynchronous import AsyncUnderpaint
from underpaint.documents import (
    Check,
    DoneEvent,
    Event,
    Health,
    Iterate,
    IterateEvent,
    Model,
    Picture,
    Readiness,
    StateEvent,
)
from underpaint.errors import (
    BadAddress,
    BadKey,
    BadProxy,
    Conflict,
    FieldError,
    Forbidden,
    InvalidRequest,
    NotFound,
    Problem,
    ServerFault,
    TooMany,
    Unauthorized,
    UnderpaintError,
    UnexpectedAnswer,
    Unreachable,
)
from underpaint.jobs import Image, Job, JobCanceled, JobFailed, JobPage, JobRequest, TimedOut
from underpaint.synchronous import Underpaint

__all__ = [
    "Underpaint",
    "AsyncUnderpaint",
    # documents
    "Request",
    "Job",
    "JobRequest",
    "JobPage",
    "Image",
    "Warning",
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
    # exceptions
    "UnderpaintError",
    "BadAddress",
    "BadKey",
    "BadProxy",
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
