"""The `underpaint` command: one function a sub-command, each a few lines around the module that does it.

Modules are imported inside the functions: `underpaint --help` must not wait for a database driver.
"""

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from cli.doctor.app import app as doctor
from cli.errors import Explaining
from cli.generate.app import app as generate
from cli.jobs.app import app as jobs
from cli.keys.app import app as keys
from cli.options import SERVER, DataDirectory

app = typer.Typer(
    name="underpaint",
    help="A text-to-image backend whose first whole picture arrives long before the image is finished.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(generate)
app.add_typer(jobs)
app.add_typer(keys, name="keys", rich_help_panel=SERVER)

LogLevel = Annotated[
    str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR. By default UNDERPAINT_LOG_LEVEL or INFO.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"underpaint {installed_version('underpaint')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel=SERVER)
def up(
    data_dir: Annotated[
        Path, typer.Option(envvar="UNDERPAINT_DATA_DIR", help="Where everything is kept; made if it is missing.")
    ] = Path(".underpaint"),
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. By default UNDERPAINT_HOST or 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any free one. By default UNDERPAINT_PORT or 8000.")
    ] = None,
) -> None:
    """Start everything: database, broker, worker, beat and API. Ctrl-C stops everything.

    With UNDERPAINT_DATABASE_URL or UNDERPAINT_REDIS_URL set, that server is used instead of an embedded one.
    """
    with Explaining():
        from cli.up import run
        from store.settings import ApiSettings

        settings = ApiSettings()
        run.up(data_dir, settings.host if host is None else host, settings.port if port is None else port)


@app.command(rich_help_panel=SERVER)
def api(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. By default UNDERPAINT_HOST or 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any free one. By default UNDERPAINT_PORT or 8000.")
    ] = None,
    fd: Annotated[int | None, typer.Option(hidden=True, help="A listening socket, inherited from `up`.")] = None,
    log_level: LogLevel = None,
) -> None:
    """Run the HTTP API."""
    with Explaining():
        from cli import api
        from store.settings import ApiSettings

        settings = ApiSettings()
        api.serve(settings.host if host is None else host, settings.port if port is None else port, fd, log_level)


@app.command(rich_help_panel=SERVER)
def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Jobs at once. By default UNDERPAINT_CONCURRENCY or 8.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Its name to Celery, before the @. By default worker-PID.")] = None,
    log_level: LogLevel = None,
) -> None:
    """Run a Celery worker, which takes jobs and makes pictures."""
    with Explaining():
        from cli import background
        from store.settings import LogSettings, WorkerSettings

        level = log_level or LogSettings().log_level
        background.worker(concurrency or WorkerSettings().concurrency, name, level)


@app.command(rich_help_panel=SERVER)
def beat(log_level: LogLevel = None) -> None:
    """Run the clock that sends the janitor round. One is enough for any number of workers."""
    with Explaining():
        from cli import background
        from store.settings import LogSettings

        background.beat(log_level or LogSettings().log_level)


@app.command(rich_help_panel=SERVER)
def migrate() -> None:
    """Bring the tables of the database up to date."""
    with Explaining():
        from cli import migrate
        from store.settings import StoreSettings

        migrate.migrate(StoreSettings().database_url)


@app.command(rich_help_panel=SERVER)
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")],
    data_dir: DataDirectory = Path(".underpaint"),
) -> None:
    """Write the whole database to FILE: jobs, pictures, checkpoints, keys. The server may go on meanwhile."""
    with Explaining():
        from cli import backup

        backup.backup(data_dir, file)


@app.command(rich_help_panel=SERVER)
def restore(
    file: Annotated[Path, typer.Argument(help="Of `underpaint backup`; - is standard input.")],
    data_dir: DataDirectory = Path(".underpaint"),
) -> None:
    """Put what is in FILE in the place of the whole database. Nothing else may use it meanwhile."""
    with Explaining():
        from cli import backup

        backup.restore(data_dir, file)


@app.command(rich_help_panel=SERVER)
def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Write docs/settings.md.")] = False,
) -> None:
    """List every setting as an .env file: what it does, and its value here or, in a comment, its default."""
    with Explaining():
        from cli import settings

        typer.echo(settings.markdown() if markdown else settings.environment(), nl=False)


@app.command(rich_help_panel=SERVER)
def webhook_secret(
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="The name of an API key, whose webhooks have a secret of their own."),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Replace it by a new one first.")] = False,
    data_dir: DataDirectory = Path(".underpaint"),
) -> None:
    """Print what receivers verify the signatures of webhooks with: of KEY's jobs, or of jobs without a key."""
    with Explaining():
        from cli import webhook_secret

        typer.echo(webhook_secret.shown(data_dir, key, new))


@app.command(rich_help_panel=SERVER)
def bench(
    model: Annotated[str | None, typer.Option(help="Its id in the catalogue. By default the first one.")] = None,
    steps: Annotated[
        list[int] | None, typer.Option(min=1, help="Steps of the grid, N; may be given several times.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Runs of each method, each beside one of the serial sampler.")] = 3,
    round_width: Annotated[
        int | None, typer.Option(min=1, help="Evaluations a round. By default what the catalogue says.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file to save the figures in, as JSON.")
    ] = None,
) -> None:
    """Measure each method on a model of the catalogue, on this machine's devices: times, counts and errors.

    UNDERPAINT_CATALOG and UNDERPAINT_DEVICE say which catalogue and which devices. Nothing has to be running.
    """
    with Explaining():
        from cli import bench

        given = {"--model": model, "--pairs": pairs, "--width": round_width}
        arguments = [part for name, value in given.items() if value is not None for part in (name, str(value))]
        arguments += ["--steps", *map(str, steps)] if steps else []
        bench.bench(arguments, output)


app.add_typer(doctor)
