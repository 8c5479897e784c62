"""Jobs that others may look at by a link.

Revision ID: 0006
Revises: 0005
Created: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shares",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_shares_job_id_jobs", ondelete="cascade"),
        sa.PrimaryKeyConstraint("job_id", name="pk_shares"),
    )


def downgrade() -> None:
    op.drop_table("shares")
