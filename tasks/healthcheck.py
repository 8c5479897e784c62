"""Whether a worker of this host announces itself in Redis: `python -m tasks.healthcheck`, for containers.

Celery's own `inspect ping` would need its remote control, which is off.
"""

import socket
import sys

from store.redis_clients import sync_redis
from store.settings import StoreSettings
from store.workers import alive


def main() -> int:
    """The exit status: 0 if there is one."""
    host = f"@{socket.gethostname()}/"
    return 0 if any(host in name for name in alive(sync_redis(StoreSettings().redis_url))) else 1


if __name__ == "__main__":
    sys.exit(main())
