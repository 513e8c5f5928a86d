"""``ml-worker load``: all of a file, or nothing and the bad line by number."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SAMPLE_COINS, Database, one
from worker.commands import sample

HEADER = "mint,timestamp,price_close,is_koth"


def load(db: Database, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", "load", str(file), *options],
        env=os.environ | {"DATABASE_URL": db.login("owner")},
        capture_output=True,
        text=True,
        check=False,
    )


def write(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "metrics.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def empty(db: Database) -> Database:
    with db.connect("owner") as owner:
        owner.execute("TRUNCATE coin_metrics")
    return db


def count(db: Database) -> int:
    with db.connect("rosa") as reader:
        return int(one(reader, "SELECT count(*) FROM coin_metrics")["count"])


@pytest.mark.parametrize("packed", [False, True], ids=["csv", "csv.gz"])
def test_a_file_is_loaded(empty: Database, tmp_path: Path, packed: bool) -> None:
    blocks = b"".join(sample.to_csv(sample.make_metrics(SAMPLE_COINS)))
    file = tmp_path / ("metrics.csv.gz" if packed else "metrics.csv")
    file.write_bytes(gzip.compress(blocks) if packed else blocks)
    result = load(empty, file)
    assert result.returncode == 0, result.stderr
    assert f"Loaded {count(empty)} rows" in result.stdout
    assert count(empty) == 260 * SAMPLE_COINS


def test_an_empty_field_is_null_and_columns_may_be_in_any_order(empty: Database, tmp_path: Path) -> None:
    file = write(tmp_path, "\ufeffis_koth,price_close,timestamp,mint", "t,,2024-01-01 00:00:00+00,A")
    assert load(empty, file).returncode == 0
    with empty.connect("rosa") as reader:
        row = one(reader, "SELECT * FROM coin_metrics")
    assert (row["mint"], row["price_close"], row["is_koth"]) == ("A", None, True)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("A,2024-01-01 00:02:00+00,abc,f", "abc"),
        ("A,yesterday at noon,1,f", "yesterday at noon"),
        ("A,2024-01-01 00:02:00+00,1", "is_koth"),
        ("A,2024-01-01 00:02:00+00,1,f,7", "extra data"),
        ("A,2024-01-01 00:00:00+00,1,f", "duplicate key"),
        (",2024-01-01 00:02:00+00,1,f", "mint"),
    ],
    ids=["number", "time", "missing field", "extra field", "twice", "no coin"],
)
def test_a_bad_line_is_named_and_nothing_is_loaded(
    empty: Database, tmp_path: Path, bad: str, said: str
) -> None:
    good = "A,2024-01-01 00:00:00+00,1,f"
    result = load(empty, write(tmp_path, HEADER, good, good.replace("00:00:00", "00:01:00"), bad))
    assert result.returncode == 1
    assert "line 4" in result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert count(empty) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: a header line"),
        (b"mint,timestamp,price\n", 'column "price"'),
        (b"\xff\xfe\n", "line 1: not a line of UTF-8"),
    ],
    ids=["empty", "unknown column", "not text"],
)
def test_a_file_that_is_no_metrics_is_refused(
    empty: Database, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "metrics.csv"
    file.write_bytes(content)
    result = load(empty, file)
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_packed_file_that_ends_too_early_loads_nothing(empty: Database, tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv.gz"
    blocks = b"".join(sample.to_csv(sample.make_metrics(3)))
    file.write_bytes(gzip.compress(blocks)[:-2000])
    result = load(empty, file)
    assert result.returncode == 1
    assert "cannot be read" in result.stderr
    assert count(empty) == 0


def test_a_file_that_has_grown_is_loaded_again_by_an_option(empty: Database, tmp_path: Path) -> None:
    first = "A,2024-01-01 00:00:00,1,f"
    assert "Loaded 1 rows" in load(empty, write(tmp_path, HEADER, first)).stdout
    file = write(tmp_path, HEADER, first.replace("1,f", "2,f"), "A,2024-01-01 00:01:00,3,f")
    refused = load(empty, file)
    assert refused.returncode == 1
    assert "line 2: the coin A at 2024-01-01 00:00:00 is in coin_metrics already" in refused.stderr
    assert "--skip-existing" in refused.stderr
    assert "--update" in refused.stderr
    both = load(empty, file, "--skip-existing", "--update")
    assert (both.returncode, "give one" in both.stderr) == (2, True)
    assert count(empty) == 1
    skipped = load(empty, file, "--skip-existing").stdout
    assert "Loaded 1 new rows" in skipped
    assert "0 rows were changed, and 1 left as they are" in skipped
    updated = load(empty, file, "--update").stdout
    assert "Loaded 0 new rows" in updated
    assert "1 rows were changed, and 1 left as they are" in updated
