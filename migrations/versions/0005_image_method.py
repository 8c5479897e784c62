"""Which method an image is computed by, where `auto` chose.

Revision ID: 0005
Revises: 0004
Created: 2026-11-23
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("method", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("images", "method")
