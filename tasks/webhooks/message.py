"""The body of a webhook, and its headers by Standard Webhooks."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from store.links import JobLinks
from store.tables import Event, Image
from store.webhook_secrets import key_of


def body(links: JobLinks, event: Event, images: Sequence[Image]) -> bytes:
    """An event as JSON, with links to pictures. ``images`` are those of the job, for a ``done`` event."""
    job = event.job_id
    data: dict[str, Any] = {"job": str(job), "seq": event.seq, **event.data, "links": {"job": links.job(job)}}
    if event.kind == "iterate":
        data["picture"] = links.picture(job, data["image"], data["iterate"]) if data["etag"] else None
    if event.kind == "done":
        data["images"] = [_image(links, image) for image in images]
    payload = {"type": f"job.{event.kind}", "timestamp": event.created_at.isoformat(), "data": data}
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def headers(secrets: Sequence[str], delivery: UUID, timestamp: int, sent: bytes) -> dict[str, str]:
    """The headers that sign a body sent at ``timestamp``, in seconds since 1970."""
    signed = b"%s.%d.%s" % (str(delivery).encode(), timestamp, sent)
    signatures = [hmac.digest(key_of(secret), signed, hashlib.sha256) for secret in secrets]
    return {
        "webhook-id": str(delivery),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signatures),
    }


def _image(links: JobLinks, row: Image) -> dict[str, Any]:
    newest = None if row.iterate is None else links.picture(row.job_id, row.number, row.iterate)
    return {
        "number": row.number,
        "iterate": row.iterate,
        "residual": row.residual,
        "error_estimate": row.error_estimate,
        "stopped": row.stopped,
        "error": row.error,
        "picture": newest,
    }
