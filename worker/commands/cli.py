"""The command ``ml-worker``."""

import logging
import os
import re
import socket
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import psycopg

from worker import settings
from worker.commands.install import install as install_schema
from worker.commands.programs import command as program_command
from worker.database.connection import UnsuitableDatabaseError, connect, name_and_host
from worker.database.deadlines import deadline
from worker.database.reading import living_workers
from worker.database.schema import SCHEMA_VERSION
from worker.embedded import Server, ServerError
from worker.errors import DemoError, ExportError, LoadError


def _server_url() -> str:
    """``DATABASE_URL``, or the embedded server, started and with the schema in place."""
    if url := settings.database_url():
        return url
    server = Server(settings.home())
    if server.start(prepare=install_schema):
        click.echo(f"Made a PostgreSQL server in {server.home}", err=True)
    return server.url()


def _connect_hint() -> None:
    """Say how any SQL client connects."""
    if settings.database_url() is None:
        server = Server(settings.home())
        url = server.tcp_url()
        if not sys.stderr.isatty():  # it may be a log, and a log holds no secrets
            url = (
                f"{url.replace(f':{server.password}@', '@')}, with the password in {server.home / 'password'}"
            )
        click.echo(f"Connect with any SQL client: {url}", err=True)
        click.echo(f"The server stays up until: {settings.program_name()} stop", err=True)


def _where(url: str) -> str:
    name, host = name_and_host(url)
    return f"the database {name} on {host}"


def _explained(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors that a user can mend into one message, without a traceback."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except (
            ServerError,
            UnsuitableDatabaseError,
            LoadError,
            DemoError,
            ExportError,
            OSError,
            ImportError,
        ) as error:
            raise click.ClickException(str(error)) from error
        except psycopg.Error as error:
            hint = f"\nHINT: {error.diag.message_hint}" if error.diag.message_hint else ""
            raise click.ClickException(f"{error.diag.message_primary or error}{hint}") from error

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ml-worker")
def main() -> None:
    """Machine learning driven from SQL.

    Insert a row into ml_jobs to train, test and compare classifiers.

    \b
    ml-worker demo                   see it all at work on sample data
    ml-worker load coin_metrics.csv  load your own data
    ml-worker run                    start a worker
    ml-worker psql                   INSERT INTO ml_jobs …
    ml-worker top                    watch the queue, live
    ml-worker report 1 2             a page with the curves of models 1 and 2

    \b
    Environment:
      DATABASE_URL  PostgreSQL server and database, such as
                    postgresql://user:password@host/dbname; without it
                    an embedded server is started on demand
      ML_HOME       folder of the embedded server
                    (default: a per-user data folder)
      ML_MODEL_DIR  folder of the model files (default: models in
                    ML_HOME), of which the database has copies
    """  # noqa: D301  # click reads the backspace
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)


@main.command()
@_explained
def install() -> None:
    """Install the schema, or bring it up to date.

    Running it again changes nothing.
    """
    url = _server_url()
    install_schema(url)
    click.echo(f"Schema version {SCHEMA_VERSION} is installed in {_where(url)}")
    _connect_hint()


@main.command()
@click.option(
    "--concurrency",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Jobs to run at the same time.",
)
@click.option(
    "--drain", is_flag=True, help="On SIGTERM, finish running jobs instead of returning them to the queue."
)
@click.option(
    "--lease",
    default=30.0,
    show_default=True,
    type=click.FloatRange(1, 3600),
    help="Seconds without a heartbeat after which another worker takes over a job.",
)
@click.option(
    "--poll",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="Seconds between polls of the queue, in case a notification is lost.",
)
@click.option(
    "--model-dir",
    default=settings.model_dir,
    show_default="ML_MODEL_DIR",
    type=click.Path(path_type=Path),
    help="Folder of the model files.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve Prometheus metrics on this port; 0 picks a free one and logs it.",
)
@_explained
def run(
    *, concurrency: int, drain: bool, lease: float, poll: float, model_dir: Path, metrics_port: int | None
) -> None:
    """Run jobs from the queue.

    Stop it with SIGTERM or Ctrl-C: running jobs go back to the queue, or finish
    first with --drain.
    """
    from worker.service.supervisor import Options, Supervisor  # noqa: PLC0415  # commands import what they need

    metrics = None
    if metrics_port is not None:
        from worker.service.prometheus import Metrics  # noqa: PLC0415

        metrics = Metrics()
        logging.info("metrics on port %s", metrics.serve(metrics_port))
    url = _server_url()
    _connect_hint()
    Supervisor(Options(url, model_dir.resolve(), concurrency, lease, poll, drain), metrics).run()


@main.command()
@click.argument("model_ids", metavar="MODEL_ID…", type=click.IntRange(1, 2**63 - 1), nargs=-1, required=True)
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: report_MODEL_ID….html]",
)
@_explained
def report(model_ids: tuple[int, ...], file: Path | None) -> None:
    """Write an HTML report on one or more models.

    It shows curves, confusion matrices, importances and comparisons, and needs no
    network and no other file. The name of the file is printed.
    """
    from worker.commands.report import ReportError, render  # noqa: PLC0415

    ids = list(dict.fromkeys(model_ids))
    try:
        page = render(_server_url(), ids)
    except ReportError as error:
        raise click.ClickException(str(error)) from error
    file = file or Path(f"report_{'_'.join(map(str, ids))}.html")
    file.write_text(page, encoding="utf-8")
    click.echo(file)


@main.command()
@click.option("--once", is_flag=True, help="Print one frame and exit.")
@_explained
def top(once: bool) -> None:
    """Watch the queue, the workers and the running jobs.

    Live until q or Ctrl-C.
    """
    from worker.commands import top as view  # noqa: PLC0415

    url = _server_url()
    if once:
        view.show_once(url)
    elif sys.stdin.isatty() and sys.stdout.isatty():
        view.watch(url)
    else:
        raise click.UsageError("this is not a terminal; --once prints one frame")


@main.command()
@_explained
def health() -> None:
    """Check that a worker on this host is alive.

    A health check for containers: exit code 0 if one is and nothing keeps it
    from jobs, 1 if none is or the database cannot be reached.
    """
    host = socket.gethostname()
    server = Server(settings.home())
    if not (url := settings.database_url()):
        if not server.is_up():
            raise click.ClickException(f"the server in {server.home} is not running")
        url = server.url()
    with connect(url, timeout=5) as connection, deadline(connection, 5):
        workers = living_workers(connection, host)
    if not workers:
        raise click.ClickException(
            f"no worker on {host} is alive; start one: ml-worker run. The view ml_workers lists all that are."
        )
    for worker_id, reason in workers:
        click.echo(f"{worker_id} is alive" + (f" but has paused: {reason}" if reason else ""))
    if all(reason for _, reason in workers):
        raise click.ClickException(
            f"every worker on {host} has paused; it goes on by itself once it has what it lacks"
        )


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--skip-existing", is_flag=True, help="Leave out rows whose coin and moment are there already.")
@click.option(
    "--update", is_flag=True, help="Give rows that are there already the values of the file, empty ones too."
)
@_explained
def load(file: Path, skip_existing: bool, update: bool) -> None:
    """Load a CSV file into coin_metrics.

    FILE has a header line with column names; - is standard input. It may be packed
    (.gz, .bz2, .xz, .zip), in UTF-8 or UTF-16, and separated by commas, semicolons,
    tabs or bars. All of it is loaded, or nothing, and a line that can mean two
    things is refused.

    \b
    Moments  ISO 8601, and UTC where no zone is given; or epochs in seconds,
             milliseconds, micro- or nanoseconds, told by their size
    Numbers  1234.5 or 1e-05; 1234,5 where semicolons separate; never with
             thousands separators, never infinite
    Unknown  an empty field; in columns that hold no text also NULL, NA, N/A,
             NaN, NaT and None
    Text     as it stands, without the spaces around it

    A row whose coin and moment are in the table already is refused, unless an
    option says what to do.
    """  # noqa: D301  # click reads the backspace
    from worker.commands.load import load as load_file  # noqa: PLC0415  # commands import what they need

    if skip_existing and update:
        raise click.UsageError("--skip-existing leaves rows as they are, --update changes them: give one")
    url = _server_url()
    loaded = load_file(url, file, "skip" if skip_existing else "update" if update else "refuse")
    for note in loaded.notes:
        click.echo(note)
    counts = loaded.counts
    what = f"{counts.new} new rows" if skip_existing or update else f"{counts.rows} rows"
    click.echo(f"Loaded {what} into coin_metrics of {_where(url)}")
    if skip_existing or update:
        same = counts.rows - counts.new - counts.changed
        click.echo(f"{counts.changed} rows were changed, and {same} left as they are")
    _connect_hint()


class _Target(click.ParamType[Any]):
    name = "expression"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str, str]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"\s*(\w+)\s*(>=|<=|!=|>|<|=)\s*(\S+)\s*", value)
        if match is None:
            self.fail(f"{value!r} is not like 'volatility_pct > 0.5'", param, ctx)
        column, operator, threshold = match.groups()
        # A boolean column is 0 or 1.
        return column, operator, {"true": "1", "false": "0"}.get(threshold.lower(), threshold)


class _Period(click.ParamType[Any]):
    name = "start..end"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        start, dots, end = value.partition("..")
        if not (start and dots and end):
            self.fail(f"{value!r} is not like 2021-05-06..2021-05-11", param, ctx)
        return start, end


@main.command()
@click.option(
    "--metrics",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV file to load first, as ml-worker load does.",
)
@click.option(
    "--target",
    type=_Target(),
    help="What to predict, such as 'volatility_pct > 0.5', or of a change in percent 'price_high >= 30'.",
)
@click.option("--label", help="Kind of label, such as highest_change; ref_labels has all.  [default: value]")
@click.option("--base", help="Column that a change is measured from.  [default: the target]")
@click.option("--stop", help="Change in percent that must not come first, of the label first_touch.")
@click.option(
    "--uncovered",
    type=click.Choice(["leave_out", "negative"]),
    help="What rows are whose coin stops before the window ends.  [default: leave_out]",
)
@click.option("--features", help="Columns to learn from, separated by commas.")
@click.option("--horizon", type=click.IntRange(1), help="Minutes to look ahead.")
@click.option("--train", type=_Period(), help="Training period, such as 2021-05-06..2021-05-11.")
@click.option("--test", type=_Period(), help="Test period.")
@_explained
def demo(metrics: Path | None, **given: Any) -> None:
    """Train, test and compare models on sample data, or on yours.

    Trains a model of each type, tests them all and compares the best two. Rows are
    loaded only if the periods have none yet, and nothing is ever removed.
    """
    from worker.commands import demo as show  # noqa: PLC0415

    missing = [f"--{name}" for name in ("target", "features", "train", "test") if given[name] is None]
    if metrics is None and not any(value is not None for value in given.values()):
        task = show.Task()
    elif missing:
        raise click.UsageError(f"your own data need {', '.join(missing)} as well")
    else:
        task = show.Task(metrics=metrics, phases=None, **given)
    show.run(_server_url(), task, settings.model_dir())
    _connect_hint()


def _add_program(program: str, help_text: str) -> None:
    """Add a command that becomes a program of PostgreSQL."""

    @main.command(
        name=program,
        help=help_text,
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    @_explained
    def become(args: tuple[str, ...]) -> None:
        words, environment = program_command(program, args, _server_url())
        os.execvpe(words[0], words, environment)  # noqa: S606  # it takes over the terminal


_add_program("psql", "Open psql on the database.")
_add_program("pg_dump", "Back up the database by pg_dump.")
_add_program("pg_restore", "Restore a backup by pg_restore.")


@main.command()
@click.option("--remove", is_flag=True, help="Remove files that belong to no model.")
@click.option(
    "--model-dir",
    default=settings.model_dir,
    show_default="ML_MODEL_DIR",
    type=click.Path(path_type=Path),
    help="Folder of the model files.",
)
@_explained
def verify(remove: bool, model_dir: Path) -> None:
    """Check the model files, and what ml.predict says.

    A file that is missing or altered is written again from the database's copy, and
    one of which the database has no copy is stored there. Lists the models for which
    neither is left, those for which ml.predict answers otherwise than their worker
    did on the rows kept with them, and the files in the database's own folder that
    belong to no model: those of failed attempts and of models that ml.prune removed.
    Files of other databases, which may share ML_MODEL_DIR, and those that a worker
    before schema version 6 wrote beside their folders, are left alone.

    Exit code 0 if all is well, 1 otherwise.
    """
    from worker.commands.verify import verify as compare  # noqa: PLC0415

    url = _server_url()
    found = compare(url, model_dir.resolve())
    for line in (*found.restored, *found.faults, *found.unequal):
        click.echo(line)
    for file in found.orphans:
        if remove:
            file.unlink(missing_ok=True)
        click.echo(f"{file} belongs to no model{' and was removed' if remove else ''}")
    click.echo(
        f"{found.models} models in {_where(url)}; files missing or altered: {len(found.faults)}; "
        + (f"written again: {len(found.restored)}; " if found.restored else "")
        + (f"stored in the database: {found.stored}; " if found.stored else "")
        + f"files of no model in {found.folder}: {len(found.orphans)}"
    )
    if found.orphans and not remove:
        click.echo("To remove them: ml-worker verify --remove", err=True)
    if found.faults or found.unequal or (found.orphans and not remove):
        raise SystemExit(1)


@main.command()
@click.option(
    "--model-dir",
    default=settings.model_dir,
    show_default="ML_MODEL_DIR",
    type=click.Path(path_type=Path),
    help="Folder of the model files.",
)
@_explained
def numbers(model_dir: Path) -> None:
    """Record the numbers that ml.predict answers from.

    Models have had them with their training since schema version 7; this reads
    the files of older ones. Exit code 0 if all models have theirs now.
    """
    from worker.commands.numbers import record  # noqa: PLC0415

    url = _server_url()
    recorded, faults = record(url, model_dir.resolve())
    for fault in faults:
        click.echo(fault)
    click.echo(f"Numbers of {recorded} models in {_where(url)} were recorded; models without: {len(faults)}")
    if faults:
        raise SystemExit(1)


@main.command()
@click.argument("model")
@click.argument("file", required=False, type=click.Path(allow_dash=True, path_type=Path))
@_explained
def export(model: str, file: Path | None) -> None:
    """Write the file of a MODEL, given by its name or id.

    FILE is where to: without it model_ID.pkl in this folder, - for standard output.
    The file is a scikit-learn pipeline: joblib.load reads it.
    """
    from worker.commands.export import export as write  # noqa: PLC0415

    path, num_bytes, threshold = write(_server_url(), model, file)
    click.echo(f"Wrote {path} ({num_bytes:,} bytes); it says yes above {threshold}", err=True)


@main.command()
@_explained
def stop() -> None:
    """Stop the embedded server."""
    server = Server(settings.home())
    click.echo(f"The server in {server.home} {'was stopped' if server.stop() else 'was not running'}")
