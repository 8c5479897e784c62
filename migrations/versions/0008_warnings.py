"""What of a job's request does nothing, or less than it says.

Revision ID: 0008
Revises: 0007
Created: 2026-11-26
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("warnings", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False)
    op.add_column("jobs", column)


def downgrade() -> None:
    op.drop_column("jobs", "warnings")
