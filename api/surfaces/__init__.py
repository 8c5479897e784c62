"""The surfaces: each folder is one API that this server speaks, with its routes, requests, documents and errors."""
