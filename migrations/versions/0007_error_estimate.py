"""The estimated error of iterates, and of an image's newest one.

Revision ID: 0007
Revises: 0006
Created: 2026-11-26
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("error_estimate", sa.Double(), nullable=True))
    op.add_column("iterates", sa.Column("error_estimate", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("iterates", "error_estimate")
    op.drop_column("images", "error_estimate")
