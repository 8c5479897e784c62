"""How much of its model a worker has loaded, while a job waits for it.

Revision ID: 0013
Revises: 0019
Created: 2026-11-26
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("preparing", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "preparing")
