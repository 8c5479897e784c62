"""What pages of other origins may do, where the settings name any. Keys travel in a header: no cookies are let in."""

from typing import Any

SHARED: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "DELETE"],
    "allow_headers": ["*"],
    "expose_headers": [
        "Content-Location",
        "ETag",
        "Idempotency-Replayed",
        "Link",
        "Location",
        "Preference-Applied",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "Underpaint-Final",
        "Underpaint-Iterate",
        "WWW-Authenticate",
        "X-Request-Id",
    ],
    "max_age": 600,
}
