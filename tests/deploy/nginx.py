"""nginx with the snippet of the documentation, and around it the least that it runs with."""

from pathlib import Path

from tests.deploy.compose import ROOT
from tests.docs.blocks import blocks


def nginx_configuration(folder: Path, listen: str, certificate: Path, server: str, more: str = "") -> str:
    """A proxy with TLS for a server.

    Args:
        folder: for what it writes.
        listen: the address and port, or the port.
        certificate: a file with the private key and the chain.
        server: its address, `http://...`.
        more: what else belongs into the block `http`.
    """
    (snippet,) = (block.code for block in blocks(ROOT / "docs/self-hosting.md") if block.code.startswith("location"))
    assert "http://127.0.0.1:8000" in snippet
    written = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
        daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; events {{}}
        http {{
            access_log off; {written} {more}
            server {{
                listen {listen} ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate};
                {snippet.replace("http://127.0.0.1:8000", server)}
            }}
        }}"""
