"""The `underpaint` command: one function per sub-command, a few lines around the module that does the work.

Modules are imported inside the functions: `underpaint --help` must not wait for a database driver.
"""

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import report_errors
from cli.generate.app import app as generate
from cli.jobs.app import app as jobs
from cli.keys.app import app as keys
from cli.models.app import app as models
from cli.options import PICTURES, SERVER, DataDirectory, Key, Server
from cli.pictures.app import app as pictures
from cli.streams import take_any_text

app = typer.Typer(
    name="underpaint",
    help="A text-to-image backend whose first whole picture arrives long before the image is finished.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

app.add_typer(generate)
app.add_typer(jobs)
app.add_typer(keys, name="keys", rich_help_panel=SERVER)
app.add_typer(models, name="models", rich_help_panel=SERVER)
app.add_typer(pictures, name="pictures", rich_help_panel=SERVER)

LogLevel = Annotated[
    str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR. By default UNDERPAINT_LOG_LEVEL or INFO.")
]


def main_program() -> None:
    """The command, as a program."""
    take_any_text()
    app()


def _version(requested: bool) -> None:
    if requested:
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
        Path, typer.Option(envvar="UNDERPAINT_DATA_DIR", help="Where everything is kept; created if it is missing.")
    ] = Path(".underpaint"),
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. By default UNDERPAINT_HOST or 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any free one. By default UNDERPAINT_PORT or 8000.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many workers to start; each loads the models.")] = 1,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Leave out what the parts log; their logs have it.")
    ] = False,
) -> None:
    """Start everything: database, broker, worker, beat and API. Ctrl-C stops everything.

    With UNDERPAINT_DATABASE_URL or UNDERPAINT_REDIS_URL set, that server is used instead of an embedded one.
    """
    with report_errors():
        from cli import checks
        from cli.up import run
        from store.settings import ApiSettings

        checks.before_start()
        settings = ApiSettings()
        run.up(
            data_dir, settings.host if host is None else host, settings.port if port is None else port, workers, quiet
        )


@app.command(rich_help_panel=PICTURES)
def mcp(server: Server = None, key: Key = None) -> None:
    """Offer a server's pictures to an assistant or editor: an MCP server on stdin and stdout.

    The API serves the same tools by HTTP at /mcp.
    """
    with report_errors():
        from cli import tools

        tools.run(server, key)


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
    with report_errors():
        from cli import api
        from store.settings import ApiSettings

        settings = ApiSettings()
        listen = (settings.host if host is None else host, settings.port if port is None else port)
        api.serve(*listen, fd, log_level)


@app.command(rich_help_panel=SERVER)
def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Jobs at once. By default UNDERPAINT_CONCURRENCY or 8.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The part of its Celery name before the @. By default worker-PID.")
    ] = None,
    log_level: LogLevel = None,
) -> None:
    """Run a Celery worker, which runs jobs."""
    with report_errors():
        from cli import processes
        from store.settings import LogSettings, WorkerSettings

        level = log_level or LogSettings().log_level
        processes.worker(concurrency or WorkerSettings().concurrency, name, level)


@app.command(rich_help_panel=SERVER)
def beat(log_level: LogLevel = None) -> None:
    """Run the scheduler of the janitor. One is enough for any number of workers."""
    with report_errors():
        from cli import processes
        from store.settings import LogSettings

        processes.beat(log_level or LogSettings().log_level)


@app.command(rich_help_panel=SERVER)
def migrate() -> None:
    """Bring the tables of the database up to date."""
    with report_errors():
        from cli import processes
        from store.settings import StoreSettings

        processes.migrate(StoreSettings().database_url)


@app.command(rich_help_panel=SERVER)
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; - is standard output.")],
    data_dir: DataDirectory = Path(".underpaint"),
) -> None:
    """Write the whole database to FILE: jobs, pictures, checkpoints, keys. The server may run meanwhile."""
    with report_errors():
        from cli import backup

        backup.backup(data_dir, file)


@app.command(rich_help_panel=SERVER)
def restore(
    file: Annotated[Path, typer.Argument(help="A file of `underpaint backup`; - is standard input.")],
    data_dir: DataDirectory = Path(".underpaint"),
    create: Annotated[bool, typer.Option("--create", help="Make a database in the folder if there is none.")] = False,
) -> None:
    """Replace the whole database by the contents of FILE. Nothing else may use the database meanwhile."""
    with report_errors():
        from cli import backup

        backup.restore(data_dir, file, create)


@app.command(rich_help_panel=SERVER)
def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Write docs/settings.md.")] = False,
) -> None:
    """List all settings as an .env file: a description, and the value here or, in a comment, the default."""
    with report_errors():
        from cli import settings

        typer.echo(settings.markdown() if markdown else settings.environment(), nl=False)


@app.command(rich_help_panel=SERVER)
def webhook_secret(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]", help="The name of an API key: the webhooks of its jobs have a secret of their own."
        ),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Replace the secret by a new one first.")] = False,
    data_dir: DataDirectory = Path(".underpaint"),
) -> None:
    """Print the secret that signs the webhooks of KEY's jobs, or of jobs without a key."""
    with report_errors():
        from cli.keys import commands

        typer.echo(commands.webhook_secret(data_dir, key, new))


@app.command(rich_help_panel=SERVER)
def bench(
    model: Annotated[str | None, typer.Option(help="Its id in the catalogue. By default the first one.")] = None,
    steps: Annotated[
        list[int] | None, typer.Option(min=1, help="Steps of the grid, N; may be given several times.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=1, help="Runs of each method, each paired with one of the serial sampler.")
    ] = 3,
    round_width: Annotated[
        int | None, typer.Option(min=1, help="Evaluations per round. By default that of the catalogue.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file to save the figures in, as JSON.")
    ] = None,
) -> None:
    """Measure each method on a model of the catalogue, on this machine's devices: times, counts and errors.

    UNDERPAINT_CATALOG and UNDERPAINT_DEVICE say which catalogue and which devices. Nothing has to be running.
    """
    with report_errors():
        from cli import bench

        options = {"--model": model, "--pairs": pairs, "--width": round_width}
        arguments = [part for name, value in options.items() if value is not None for part in (name, str(value))]
        arguments += ["--steps", *map(str, steps)] if steps else []
        bench.bench(arguments, output)


@app.command(rich_help_panel=SERVER)
def doctor(
    load: Annotated[bool, typer.Option("--load", help="Load every model on the disk, too.")] = False,
    data_dir: DataDirectory = Path(".underpaint"),
    server: Server = None,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find problems, and say what to do: settings, models, devices, database, broker, workers, beat, API.

    Checks the servers that the environment names, or else those of `underpaint up`. Exit code 1: there is a problem.
    """
    with report_errors():
        from cli.doctor import run

        code = run.doctor(data_dir, server, key, load, as_json)
    raise typer.Exit(code)
