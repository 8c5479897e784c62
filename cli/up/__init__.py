"""`underpaint up`: every part of the system, started, watched and stopped by one process."""
