"""Jobs whose newest iterates are accepted, and checkpoints that outlive their job's end.

Revision ID: 0002
Revises: 0001
Created: 2026-11-22
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("accept_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_checkpoints_oldest", "checkpoints", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_checkpoints_oldest", "checkpoints")
    op.drop_column("jobs", "accept_requested")
