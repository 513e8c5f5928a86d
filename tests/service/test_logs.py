"""The worker's log: one line for each change of state, in fields that a program can read."""

import re
from collections import Counter
from collections.abc import Callable

from tests.conftest import TRAIN, Database, Worker, insert_job, until, wait_for

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>INFO|WARNING|ERROR) "
    r"(worker=\S+|job=(?P<job>\d+) attempt=(?P<attempt>\d+)) (?P<what>\S+).*"
)


def test_each_change_of_state_is_one_line_with_job_and_attempt(
    make_database: Callable[[], Database], start_worker: Callable[..., Worker]
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        worker = start_worker(db)
        done = insert_job(client, **TRAIN)
        failed = insert_job(client, **TRAIN | {"train_value": "1e12"})
        slow = {"train_model_type": "random_forest", "train_params_csv": "n_estimators=10000;max_depth=none"}
        cancelled, released = (insert_job(client, **TRAIN | slow) for _ in range(2))
        wait_for(client, cancelled, "RUNNING")
        client.execute("CALL ml.cancel_job(%s)", [cancelled])
        wait_for(client, released, "RUNNING")
        until(lambda: f"job={released} " in worker.log, "the last claim")
        assert worker.stop() == 0
        lines = worker.log.splitlines()
        matches = [LINE.fullmatch(line) for line in lines]
        assert [line for line, match in zip(lines, matches, strict=True) if match is None] == []
        found = Counter((m["job"], m["attempt"], m["what"], m["level"]) for m in matches if m and m["job"])
        assert found == {
            (str(done), "1", "claimed", "INFO"): 1,
            (str(done), "1", "completed", "INFO"): 1,
            (str(failed), "1", "claimed", "INFO"): 1,
            (str(failed), "1", "failed", "ERROR"): 1,
            (str(cancelled), "1", "claimed", "INFO"): 1,
            (str(cancelled), "1", "discarded:", "WARNING"): 1,
            (str(released), "1", "claimed", "INFO"): 1,
            (str(released), "1", "released", "INFO"): 1,
        }
