"""The method "window" is gone: what asked for it asks for "auto", and what it has computed names no method.

Revision ID: 0009
Revises: 0008
Created: 2026-11-26
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE jobs SET generation = jsonb_set(generation, '{method}', '\"auto\"')"
        " WHERE generation ->> 'method' = 'window'"
    )
    op.execute("UPDATE images SET method = NULL WHERE method = 'window'")


def downgrade() -> None:
    pass
