"""Pictures that clients send: uploads, and what jobs start from.

Revision ID: 0010
Revises: 0020
Created: 2026-11-26
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("owner", "sha256", name=op.f("uq_uploads_owner_sha256")),
    )
    op.create_index("ix_uploads_oldest", "uploads", ["used_at"])
    op.create_table(
        "inputs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_inputs_job_id_jobs"), ondelete="cascade"),
        sa.PrimaryKeyConstraint("job_id", "sha256", name=op.f("pk_inputs")),
    )
    op.create_index("ix_inputs_sha256", "inputs", ["sha256"])


def downgrade() -> None:
    """Pictures outside of the database that jobs start from are deleted by the next search of the bucket."""
    op.drop_table("inputs")
    op.drop_table("uploads")
