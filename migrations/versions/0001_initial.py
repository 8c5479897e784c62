"""Jobs, their images, iterates, checkpoints and events.

Revision ID: 0001
Revises: none
Created: 2026-11-22
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stopped", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("generation", JSONB(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("crashes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", TIME, nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("sent_at", TIME, nullable=True),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("(state = 'failed') = (error is not null)", name=op.f("ck_jobs_error_if_failed")),
        sa.CheckConstraint(
            "(state = 'running') = (lease_expires_at is not null)", name=op.f("ck_jobs_lease_if_running")
        ),
        sa.CheckConstraint("(state = 'running') = (worker is not null)", name=op.f("ck_jobs_worker_if_running")),
        sa.CheckConstraint("(state = 'succeeded') = (stopped is not null)", name=op.f("ck_jobs_stopped_if_succeeded")),
        sa.CheckConstraint(
            "(state in ('succeeded', 'failed', 'canceled')) = (finished_at is not null)",
            name=op.f("ck_jobs_finished_if_terminal"),
        ),
        sa.CheckConstraint(
            "state in ('queued', 'running', 'succeeded', 'failed', 'canceled')", name=op.f("ck_jobs_state")
        ),
        sa.CheckConstraint(
            "stopped in ('converged', 'exact', 'max_iterations', 'accepted')", name=op.f("ck_jobs_stopped")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_finished", "jobs", ["finished_at"], postgresql_where=sa.text("finished_at is not null"))
    op.create_index("ix_jobs_newest", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_queued", "jobs", ["created_at", "id"], postgresql_where=sa.text("state = 'queued'"))
    op.create_index("ix_jobs_running", "jobs", ["lease_expires_at"], postgresql_where=sa.text("state = 'running'"))
    op.create_table(
        "events",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", JSONB(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("kind in ('state', 'iterate', 'done')", name=op.f("ck_events_kind")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_events_job_id_jobs"), ondelete="cascade"),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_events")),
    )
    op.create_table(
        "images",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("iterate", sa.Integer(), nullable=True),
        sa.Column("residual", sa.Double(), nullable=True),
        sa.Column("rounds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("evaluations", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("blocks", sa.Integer(), nullable=True),
        sa.Column("predicted_rounds", sa.Integer(), nullable=True),
        sa.Column("predicted_evaluations", sa.Integer(), nullable=True),
        sa.Column("stopped", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "stopped in ('converged', 'exact', 'max_iterations', 'accepted')", name=op.f("ck_images_stopped")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_images_job_id_jobs"), ondelete="cascade"),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_images")),
    )
    op.create_table(
        "checkpoints",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("image", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("iterate", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "image"],
            ["images.job_id", "images.number"],
            name=op.f("fk_checkpoints_job_id_image_images"),
            ondelete="cascade",
        ),
        sa.PrimaryKeyConstraint("job_id", "image", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "iterates",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("image", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("iterate", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("residual", sa.Double(), nullable=True),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("evaluations", sa.Integer(), nullable=False),
        sa.Column("elapsed", sa.Double(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "image"],
            ["images.job_id", "images.number"],
            name=op.f("fk_iterates_job_id_image_images"),
            ondelete="cascade",
        ),
        sa.PrimaryKeyConstraint("job_id", "image", "iterate", name=op.f("pk_iterates")),
    )


def downgrade() -> None:
    op.drop_table("iterates")
    op.drop_table("checkpoints")
    op.drop_table("images")
    op.drop_table("events")
    op.drop_table("jobs")
