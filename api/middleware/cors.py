"""What pages of the origins in the settings may do. API keys travel in a header, so no cookies are allowed."""

from typing import Any

OPTIONS: dict[str, Any] = {
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
