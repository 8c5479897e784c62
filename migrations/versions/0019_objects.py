"""Checkpoints that are kept outside of the database: a row has their bytes, or refers to them.

Revision ID: 0019
Revises: 0009
Created: 2026-11-26
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("sha256", sa.Text(), nullable=True))
    op.alter_column("checkpoints", "data", existing_type=sa.LargeBinary(), nullable=True)
    op.create_check_constraint(op.f("ck_checkpoints_kept"), "checkpoints", "data is not null or sha256 is not null")


def downgrade() -> None:
    """Pictures and checkpoints must be back in the database before (`underpaint pictures move postgres`): checkpoints
    that are not are deleted, and their images start over if they are refined."""
    op.drop_constraint(op.f("ck_checkpoints_kept"), "checkpoints")
    op.execute("delete from checkpoints where data is null")
    op.alter_column("checkpoints", "data", existing_type=sa.LargeBinary(), nullable=False)
    op.drop_column("checkpoints", "sha256")
