"""API keys, idempotency keys, webhooks; the priority and the deadline of a job.

Revision ID: 0003
Revises: 0002
Created: 2026-11-22
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("max_queued", sa.Integer(), nullable=True),
        sa.Column("webhook_secret", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
        sa.UniqueConstraint("name", name=op.f("uq_api_keys_name")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_idempotency_keys_job_id_jobs"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_job_id"), "idempotency_keys", ["job_id"], unique=False)
    op.create_index("ix_idempotency_keys_oldest", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "server_secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_server_secrets")),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'pending') = (due_at is not null)", name=op.f("ck_webhook_deliveries_due_if_pending")
        ),
        sa.CheckConstraint(
            "state = 'pending' or claimed_until is null", name=op.f("ck_webhook_deliveries_claimed_if_pending")
        ),
        sa.CheckConstraint("state in ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_webhook_deliveries_job_id_jobs"), ondelete="cascade"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("job_id", "seq", name=op.f("uq_webhook_deliveries_job_id_seq")),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.add_column("jobs", sa.Column("failure", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("key_id", sa.Uuid(), nullable=True))
    op.add_column("jobs", sa.Column("request_id", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("priority", sa.Text(), server_default=sa.text("'normal'"), nullable=False))
    op.add_column(
        "jobs", sa.Column("rank_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    )
    op.add_column("jobs", sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("webhook", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("jobs", sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("ran_seconds", sa.Float(), server_default=sa.text("0"), nullable=False))
    op.add_column("images", sa.Column("final", sa.Integer(), nullable=True))
    op.alter_column("checkpoints", "iterate", existing_type=sa.Integer(), nullable=True)
    op.execute("update jobs set claimed_at = started_at")
    op.execute(
        "update images set final = iterates.iterate from iterates where iterates.final "
        "and (iterates.job_id, iterates.image) = (images.job_id, images.number)"
    )
    op.execute("update jobs set rank_at = created_at")
    op.create_check_constraint(op.f("ck_jobs_priority"), "jobs", "priority in ('low', 'normal', 'high')")
    op.create_check_constraint(op.f("ck_jobs_failure"), "jobs", "failure in ('model', 'worker', 'crashes', 'deadline')")
    op.create_check_constraint(op.f("ck_jobs_failure_if_failed"), "jobs", "state = 'failed' or failure is null")
    op.create_index(
        "ix_jobs_rank", "jobs", ["key_id", "rank_at", "id"], unique=False, postgresql_where=sa.text("state = 'queued'")
    )
    op.create_index(
        "ix_iterates_previews",
        "iterates",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("etag is not null and not final"),
    )
    op.create_index(
        "ix_jobs_deadline",
        "jobs",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("state in ('queued', 'running') and deadline_at is not null"),
    )
    op.create_index(
        "ix_jobs_newest_of_key",
        "jobs",
        ["key_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("key_id is not null"),
    )
    op.create_index(
        "ix_jobs_queued_of_key",
        "jobs",
        ["key_id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued' and key_id is not null"),
    )
    op.create_foreign_key(op.f("fk_jobs_key_id_api_keys"), "jobs", "api_keys", ["key_id"], ["id"], ondelete="restrict")


def downgrade() -> None:
    op.drop_constraint(op.f("fk_jobs_key_id_api_keys"), "jobs", type_="foreignkey")
    op.drop_index("ix_jobs_queued_of_key", table_name="jobs")
    op.drop_index("ix_jobs_newest_of_key", table_name="jobs", postgresql_where=sa.text("key_id is not null"))
    op.drop_index(
        "ix_jobs_deadline",
        table_name="jobs",
        postgresql_where=sa.text("state in ('queued', 'running') and deadline_at is not null"),
    )
    op.drop_index("ix_jobs_rank", table_name="jobs", postgresql_where=sa.text("state = 'queued'"))
    op.drop_index(
        "ix_iterates_previews", table_name="iterates", postgresql_where=sa.text("etag is not null and not final")
    )
    op.execute("delete from checkpoints where iterate is null")
    op.alter_column("checkpoints", "iterate", existing_type=sa.Integer(), nullable=False)
    op.drop_column("images", "final")
    op.drop_column("jobs", "ran_seconds")
    op.drop_column("jobs", "claimed_at")
    op.drop_column("jobs", "webhook")
    op.drop_column("jobs", "deadline_at")
    op.drop_column("jobs", "rank_at")
    op.drop_column("jobs", "priority")
    op.drop_column("jobs", "key_id")
    op.drop_column("jobs", "failure")
    op.drop_column("jobs", "request_id")
    op.drop_index(
        "ix_webhook_deliveries_due", table_name="webhook_deliveries", postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_table("webhook_deliveries")
    op.drop_table("server_secrets")
    op.drop_index("ix_idempotency_keys_oldest", table_name="idempotency_keys")
    op.drop_index(op.f("ix_idempotency_keys_job_id"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("api_keys")
