"""Lists of jobs that failed or were canceled, and of one model's, however many others there are.

Revision ID: 0004
Revises: 0003
Created: 2026-11-23
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UNLUCKY = sa.text("state in ('failed', 'canceled')")


def upgrade() -> None:
    op.create_index("ix_jobs_unlucky", "jobs", ["created_at", "id"], postgresql_where=UNLUCKY)
    op.create_index("ix_jobs_newest_of_model", "jobs", ["model", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_newest_of_model", table_name="jobs")
    op.drop_index("ix_jobs_unlucky", table_name="jobs", postgresql_where=UNLUCKY)
