"""What documents say of the program, taken from it: ``python -m tests.readme`` writes it anew.

That is the reference in ``sql/README.md``, from the comments in the catalog, and the texts of ``--help``.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import psycopg
from click.testing import CliRunner
from psycopg.rows import dict_row

from tests.conftest import Connection
from worker.commands.cli import main as ml_worker
from worker.commands.install import install
from worker.embedded import Server

README = Path(__file__).parents[1] / "README.md"
REFERENCE = Path(__file__).parents[1] / "sql" / "README.md"
HELP = Path(__file__).parent / "commands" / "help.txt"  # what --help says, at 80 columns
BEGIN, END = "<!-- reference: make reference -->\n", "<!-- end of the reference -->\n"
RELATIONS = """
    SELECT c.relname AS name, c.relkind = 'v' AS is_view, obj_description(c.oid, 'pg_class') AS comment
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    ORDER BY c.relname"""
ROUTINES = """
    SELECT
        p.prokind = 'p' AS is_procedure,
        p.proname AS name,
        pg_get_function_arguments(p.oid) AS arguments,
        obj_description(p.oid, 'pg_proc') AS comment,
        has_function_privilege('ml_reader', p.oid, 'EXECUTE') AS reader,
        has_function_privilege('ml_client', p.oid, 'EXECUTE') AS client,
        has_function_privilege('ml_worker', p.oid, 'EXECUTE') AS worker
    FROM pg_proc p
    WHERE p.pronamespace = 'ml'::regnamespace
    ORDER BY p.proname, p.oid"""
OWNERS = (
    "add_source",
    "remove_source",
    "prune",
    "separate_teams",
)  # of the routines that no role may call, those meant for the owner's hands


def _arguments(text: str, is_for_people: bool) -> str:
    """Names of the arguments, those that have a default in brackets; a worker's only as far as few."""
    given = [
        re.sub(r"^(IN|INOUT|OUT) ", "", argument)
        for argument in re.split(r", (?![^()]*\))", text)
        if argument
    ]
    names = [f"[{a.split()[0]}]" if " DEFAULT " in a else a.split()[0] for a in given]
    return ", ".join(names if is_for_people or len(names) <= 5 else [*names[:2], "…"])


def reference(connection: Connection) -> str:
    """Tables, views and routines with their comments, as Markdown."""
    lines = ["| table or view | what it holds |", "|---|---|"]
    lines += [f"| `{row['name']}` | {row['comment']} |" for row in connection.execute(RELATIONS)]
    lines += ["", "| routine | what it does | role |", "|---|---|---|"]
    for row in connection.execute(ROUTINES):
        roles = (
            ["ml_reader"] if row["reader"] else [f"ml_{role}" for role in ("client", "worker") if row[role]]
        )
        if row["name"] in OWNERS:
            roles = ["owner"]
        # Parts of others take p_…; what people type has names of theirs.
        is_part = (
            roles != ["ml_worker"]
            and row["arguments"].startswith(("p_", "IN p_"))
            and row["name"] != "cancel_job"
        )
        if roles and not is_part:
            call = "CALL" if row["is_procedure"] else "SELECT"
            words = f"{call} ml.{row['name']}({_arguments(row['arguments'], roles != ['ml_worker'])})"
            lines.append(f"| `{words}` | {row['comment']} | {', '.join(roles)} |")
    return "\n".join([*lines, ""])


def help_texts() -> str:
    """What ``--help`` says of the program and of each command, at 80 columns."""
    runner = CliRunner()
    own = [
        name
        for name, command in ml_worker.commands.items()
        if command.context_settings.get("help_option_names") != []
    ]
    calls = [[], *([name] for name in sorted(own))]
    texts = [
        runner.invoke(ml_worker, [*call, "--help"], prog_name="ml-worker", terminal_width=80).output
        for call in calls
    ]
    return "\n".join(
        f"$ ml-worker {' '.join([*call, '--help'])}\n{text}" for call, text in zip(calls, texts, strict=True)
    )


def parts(text: str) -> tuple[str, str, str]:
    """A document: what stands before the reference, the reference, and what stands after."""
    before, _, rest = text.partition(BEGIN)
    found, _, after = rest.partition(END)
    return before + BEGIN, found, END + after


def main() -> None:
    HELP.write_text(help_texts(), encoding="utf-8")
    home = Path(tempfile.mkdtemp(prefix="ml-reference-"))
    server = Server(home, settings=("fsync = off",))
    try:
        server.start(install)
        with psycopg.connect(server.url(), row_factory=dict_row) as connection:
            before, _, after = parts(REFERENCE.read_text(encoding="utf-8"))
            REFERENCE.write_text(f"{before}{reference(connection)}{after}", encoding="utf-8")
    finally:
        server.stop()
        shutil.rmtree(home)
    sys.stdout.write(f"{REFERENCE} and {HELP} are up to date\n")


if __name__ == "__main__":
    main()
