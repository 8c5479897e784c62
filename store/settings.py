"""Settings, read from environment variables that begin with ``UNDERPAINT_``.

Each class has the settings of one purpose. A process reads the classes that it uses once, at its start.
"""

from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from store.targets import Targets
from store.webhook_secrets import key_of

SHIPPED_CATALOG = Path(__file__).resolve().parent.parent / "models" / "catalog.toml"


def _split(given: object) -> object:
    """Split ``a, b`` into a list."""
    return [each.strip() for each in given.split(",") if each.strip()] if isinstance(given, str) else given


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="UNDERPAINT_", frozen=True, use_attribute_docstrings=True, env_ignore_empty=True
    )


class StoreSettings(_Settings):
    """Where the data lives. The URLs may hold passwords: they are left out when the settings are printed."""

    database_url: str = Field(default="postgresql://underpaint:underpaint@localhost/underpaint", repr=False)
    """PostgreSQL, as a URL. ``postgresql://`` means psycopg 3, for blocking and asyncio code alike."""

    database_pooled: bool = False
    """Whether ``database_url`` is that of a pooler which gives each transaction another session, such as PgBouncer in
    transaction mode. Then nothing is left in sessions: neither prepared statements nor parameters."""

    redis_url: str = Field(default="redis://localhost:6379/0", repr=False)
    """Redis or Valkey, as a URL: the Celery broker, wake-ups, the cache of previews and the presence of workers."""


class PictureSettings(_Settings):
    """Where pictures and checkpoints are kept: in the database, or in a bucket of an object store that speaks S3."""

    pictures: Literal["postgres", "s3"] = "postgres"
    """Where new pictures and checkpoints go: ``postgres`` or ``s3``. What is elsewhere is read from there as long as
    ``s3_bucket`` is set; `underpaint pictures move` moves it."""

    s3_bucket: str | None = None
    """The bucket. It must exist, and nothing else may write below ``s3_prefix``."""

    s3_endpoint: str | None = None
    """The address of the object store; by default that of AWS."""

    s3_region: str | None = None
    """Its region; by default that of the AWS environment, or ``us-east-1``."""

    s3_access_key: str | None = Field(default=None, repr=False)
    """The id of the access key; by default the credentials of the AWS environment, profile or role."""

    s3_secret_key: str | None = Field(default=None, repr=False)
    """The secret of the access key."""

    s3_prefix: str = "underpaint/"
    """What all keys begin with. Two installations in one bucket need two prefixes."""

    s3_path_style: bool | None = None
    """Whether addresses are ``ENDPOINT/BUCKET`` instead of ``BUCKET.ENDPOINT``; by default with an
    ``s3_endpoint``."""

    s3_presigned_seconds: PositiveInt | None = None
    """Answer requests for PNG pictures by a redirection to the object store, whose address is good for this many
    seconds, instead of by the picture. Scripts of web pages get the picture all the same."""

    s3_public_endpoint: str | None = None
    """The address of the object store in such redirections; by default ``s3_endpoint``."""

    s3_sweep_seconds: PositiveFloat = 3600
    """Time between two searches of the bucket for objects that no row refers to, in seconds."""

    s3_grace_seconds: PositiveFloat = 3600
    """Such objects are deleted when they are older than this many seconds."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.s3_bucket is None and self.pictures == "s3":
            raise ValueError("UNDERPAINT_S3_BUCKET must name the bucket, since UNDERPAINT_PICTURES is s3")
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("UNDERPAINT_S3_ACCESS_KEY and UNDERPAINT_S3_SECRET_KEY must be set together")
        if self.s3_bucket is not None and find_spec("boto3") is None:
            raise ValueError("UNDERPAINT_S3_BUCKET needs boto3: install `underpaint[s3]`")
        return self


class JobSettings(_Settings):
    """The life of a job."""

    lease_seconds: PositiveFloat = 15
    """How long a claim or a heartbeat reserves a job for its worker, in seconds."""

    heartbeat_seconds: PositiveFloat = 3
    """Time between two heartbeats of a worker, in seconds; below half of ``lease_seconds``."""

    max_crashes: PositiveInt = 3
    """A job whose lease expired this many times without a new iterate in between fails instead of being queued again.
    Its last try runs alone on its worker, so that no job fails because of another one that crashes workers; with 1
    every job runs alone."""

    resend_seconds: PositiveFloat = 30
    """If the broker's queue is empty, the message for a job that is still queued this long after it is sent again."""

    retention_seconds: PositiveFloat = 7 * 86400
    """Finished jobs and their pictures are deleted after this many seconds."""

    preview_retention_seconds: PositiveFloat = 86400
    """The pictures of a finished job that are neither final nor the newest of their image are deleted after this many
    seconds. Their figures stay."""

    checkpoint_retention_seconds: PositiveFloat = 86400
    """A job that has succeeded can be refined for this many seconds. Then its checkpoints are deleted."""

    upload_retention_seconds: PositiveFloat = 86400
    """A picture that was uploaded is deleted this many seconds after a job was submitted with it last. Jobs keep what
    they start from as long as they exist."""

    idempotency_seconds: PositiveFloat = 86400
    """An ``Idempotency-Key`` is remembered for this many seconds, at most as long as its job exists."""

    preview_cache_seconds: PositiveInt = 600
    """How long the pictures of a job stay in the cache in Redis after its newest one, in whole seconds."""

    max_running_per_key: PositiveInt | None = None
    """How many jobs of a key run at once, if the key has no limit of its own; further ones wait. By default there is no
    limit. Workers and API need the same value, or else queue positions are wrong."""

    @model_validator(mode="after")
    def _heartbeat_fits_lease(self) -> Self:
        if self.heartbeat_seconds >= self.lease_seconds / 2:
            raise ValueError(
                f"UNDERPAINT_HEARTBEAT_SECONDS ({self.heartbeat_seconds:g}) must be less than half of "
                f"UNDERPAINT_LEASE_SECONDS ({self.lease_seconds:g}), so that one late heartbeat loses no job"
            )
        return self


class LogSettings(_Settings):
    """The log of a process on stderr."""

    log_format: Literal["text", "json"] = "text"
    """``json``: one JSON object per line, for log collectors."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The lowest level to write."""


class MarkSettings(_Settings):
    """What pictures say about how they were made, when they are sent."""

    picture_parameters: bool = True
    """Whether they carry the request: as text in the form of A1111's web UI, and as JSON in XMP."""

    picture_source: bool = True
    """Whether they carry IPTC's ``DigitalSourceType`` ``trainedAlgorithmicMedia`` in XMP, which says that a model has
    generated them."""

    c2pa_certificate: Path | None = None
    """A PEM file with a certificate for C2PA and its chain, the certificate first. With it all pictures carry signed
    content credentials. Needs the extra ``c2pa``."""

    c2pa_key: Path | None = None
    """The PEM file with the private key of the certificate, in PKCS #8."""

    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    """The signature algorithm of the key."""

    c2pa_timestamp_url: str | None = None
    """The address of a time-stamping authority (RFC 3161), which every signed picture then waits for. By default
    pictures have no timestamp."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise ValueError("set UNDERPAINT_C2PA_CERTIFICATE and UNDERPAINT_C2PA_KEY, or neither")
        return self


class TraceSettings(_Settings):
    """Traces, by OpenTelemetry."""

    traces: Literal["otlp"] | None = None
    """``otlp``: send them over HTTP to the receiver that ``OTEL_EXPORTER_OTLP_ENDPOINT`` names. OpenTelemetry's other
    variables hold, too."""

    @model_validator(mode="after")
    def _is_installed(self) -> Self:
        if self.traces is not None and find_spec("opentelemetry") is None:
            raise ValueError("UNDERPAINT_TRACES needs OpenTelemetry: install `underpaint[otel]`")
        return self


class MetricsSettings(_Settings):
    """Where Prometheus reads the metrics of worker and beat, and the token for those of the API."""

    metrics_host: str = "127.0.0.1"
    """Address at which worker and beat serve their metrics, without authentication."""

    worker_metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of a worker's metrics; with 0 the system chooses one; by default they are not served."""

    beat_metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of beat's metrics; as for the worker."""

    metrics_token: str | None = Field(default=None, repr=False)
    """The bearer token that requests for ``/metrics`` of the API must have."""


class CatalogSettings(_Settings):
    """Which models are served."""

    catalog: Path = SHIPPED_CATALOG
    """The TOML file that lists the models; by default the one that ships with the project."""


class ApiSettings(_Settings):
    """The HTTP server."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; with 0 the system chooses one."""

    published: str | None = None
    """Where the port of a container is published, as ``ADDRESS:PORT``. A server without keys uses it instead of
    ``host`` to decide whether others can reach it."""

    allow_open: bool = False
    """Serve everybody who can reach the server while it has no keys, for instance behind a proxy that authenticates
    users. Otherwise a server without keys only serves this machine."""

    hosts: Annotated[list[str], NoDecode, BeforeValidator(_split)] = []
    """Names that a server without keys accepts in requests, separated by commas, besides localhost, addresses, its
    ``host`` and that of ``public_url``; ``*`` for all. This protects against pages of other sites whose names resolve
    to the server. With ``allow_open`` all names are accepted."""

    max_body_bytes: PositiveInt = 262_144
    """Larger request bodies are refused with 413."""

    max_upload_bytes: PositiveInt = 20 * 2**20
    """A picture that a client sends may have this many bytes; larger ones are refused."""

    max_upload_pixels: PositiveInt = 32 * 10**6
    """And this many pixels. A picture takes about eight bytes of memory for each while it is read."""

    max_uploaded_bytes_per_key: PositiveInt = 2**30
    """How many bytes the uploads of one key, or of all clients without one, may have together; more are refused with
    429 until some expire or are deleted."""

    max_header_bytes: PositiveInt = 16384
    """Requests whose header fields have more bytes than this are refused with 431."""

    requests_per_minute: PositiveInt = 1200
    """Requests per minute of a key that has no rate of its own; more are refused with 429."""

    max_queued_per_key: PositiveInt = 1000
    """How many jobs of a key may be queued at once, if the key has no limit of its own; more are refused with 429."""

    access_log: bool = True
    """Whether each request is logged. ``underpaint up`` does it only if this is set."""

    cors_origins: Annotated[list[str], NoDecode, BeforeValidator(_split)] = []
    """Origins whose pages may use the API from a browser, separated by commas: ``https://app.example.org``, or ``*``
    for all. By default only its own."""

    max_queued: PositiveInt = 10_000
    """How many jobs may be queued at once; more are refused with 429."""

    openai_names: bool = True
    """Whether the names of models that OpenAI's clients have built in (``dall-e-2``, ``dall-e-3``, ``gpt-image-1``)
    mean the first model of the catalogue, unless a model there has them among its ``aliases``."""

    picture_url_seconds: PositiveInt = 3600
    """How long the address of a picture in an answer to OpenAI's clients can be fetched without the key, in seconds."""

    public_url: str | None = None
    """The address that links use; by default the one that the request was sent to."""

    @property
    def exposed(self) -> bool:
        """Whether other machines can reach the server, and must not use it without a key."""
        return not self.allow_open and not is_loopback(
            self.host if self.published is None else _address(self.published)
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``, an address or a name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address(published: str) -> str:
    """The address in ``ADDRESS:PORT``; all addresses if there is only a port."""
    host = published.rpartition(":")[0].strip("[]")
    return host or "0.0.0.0"


class WorkerSettings(_Settings):
    """The worker process."""

    concurrency: PositiveInt = 8
    """Jobs that one worker runs at once."""

    models: str = ""
    """The ids of the models whose jobs a worker runs, separated by commas; by default all of the catalogue. Every model
    needs a worker that runs it."""

    width: PositiveInt | None = None
    """Evaluations that one round may hold; by default the number in the catalogue."""

    device: str = "auto"
    """``auto`` (every CUDA device, or else the CPU), ``cpu``, ``cuda``, ``cuda:N``, or several, separated by commas:
    each gets a process with the model, and rounds are split over them."""

    model_memory_gib: PositiveFloat | None = None
    """How much memory the models of a worker may take, in GiB, on its device; by default 80 % of what is free when it
    starts, or no limit with several devices. When another model needs the room, the one that was used least recently
    is unloaded. A job whose model cannot fit fails with the figures."""

    unload_seconds: PositiveFloat | None = None
    """A model without a job for this many seconds is unloaded; by default only when another one needs its room."""

    soft_shutdown_seconds: PositiveFloat = 20
    """How long a worker that stops may take to hand its jobs back, in seconds."""

    remote_control: bool = False
    """Whether workers obey Celery's remote control (``celery inspect``, ``celery control``). With it everybody who can
    reach Redis can end a worker."""


class WebhookSettings(_Settings):
    """Webhooks: where they may go (the API checks it when a job is submitted, beat when it sends), and how."""

    webhook_allow: str = ""
    """Names, addresses and networks that webhooks may reach although they are private, separated by commas."""

    webhook_http: bool = False
    """Whether webhooks may use plain http, which others on the network can read."""

    webhook_secret: str | None = Field(default=None, repr=False)
    """The secret that signs the webhooks of jobs whose API key has none of its own: ``whsec_`` and base64. Several,
    separated by spaces, all sign. By default one is generated and stored in the database."""

    webhook_timeout_seconds: PositiveFloat = 15
    """How long one attempt may take, in seconds."""

    webhook_attempts: PositiveInt = 10
    """A delivery that has failed this many times is not tried again."""

    webhook_max_age_seconds: PositiveFloat = 86400
    """A delivery whose event is older than this many seconds is not tried again."""

    @field_validator("webhook_allow")
    @classmethod
    def _readable(cls, allowed: str) -> str:
        Targets.read(allowed, http=False)
        return allowed

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, secrets: str | None) -> str | None:
        for secret in (secrets or "").split():
            key_of(secret)
        return secrets

    @property
    def targets(self) -> Targets:
        """The targets that webhooks may reach."""
        return Targets.read(self.webhook_allow, self.webhook_http)
