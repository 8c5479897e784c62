"""HTTP as all surfaces use it: bodies, headers, waiting, and problems as JSON."""
