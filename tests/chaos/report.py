"""What came of a soak: counted from the tables, and whatever breaks a rule."""

import hashlib
import json
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg.rows import DictRow

from tests.chaos import invariants
from tests.chaos.lasting import LASTING, LEASE, SIGNS
from tests.chaos.soak import Soak, Strike
from tests.conftest import JOB_TYPES

SHOWN = 5  # of the rows that break one rule, and of the jobs whose story is told


@dataclass
class Report:
    """Lines to print, and whether all went well."""

    lines: list[str] = field(default_factory=list)
    lost: int = 0
    duplicated: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.duplicated or self.broken)


def make_report(soak: Soak) -> Report:
    report = Report()
    say = report.lines.append
    _count_jobs(soak, report)

    say(f"faults: {len(soak.strikes)} of {len({(s.fault, s.how) for s in soak.strikes})} kinds")
    report.lines += _table(soak)
    say(f"workers started: {soak.starts}, of which {soak.refused_starts} found no server or were ended first")
    _count_recoveries(soak, report)

    guilty: list[int] = []
    report.lost = _apply(soak, invariants.LOST, report, guilty)
    known = {row["id"] for row in soak.ask("SELECT id FROM ml_jobs")}
    for job_id in set(soak.accepted) - known:
        report.lost += 1
        report.broken.append(f"every accepted job is in ml_jobs: not {job_id}")
    report.duplicated = _apply(soak, invariants.DUPLICATED, report, guilty)
    _apply(soak, invariants.OTHERS, report, guilty)
    # The faults that the service must bear without charging anybody; of others some cost an attempt.
    if soak.chosen & set(LASTING):
        _apply(soak, invariants.FAIR, report, guilty, _known_to(soak))
    report.broken += _bad_model_files(soak)
    left, others = _orphans(soak)
    report.broken += [f"no file without an owner: {name}" for name in others]
    report.broken += soak.surprises

    say(f"files that no model owns: {len(left)} of workers that could not remove them, {len(others)} others")
    say(f"lost: {report.lost}")
    say(f"duplicated: {report.duplicated}")
    say(f"invariants broken: {len(report.broken)}")
    report.lines += [f"  {line}" for line in report.broken]
    for job_id in list(dict.fromkeys(guilty))[:SHOWN]:
        report.lines += _story(soak, job_id)
    return report


def _count_jobs(soak: Soak, report: Report) -> None:
    rows = soak.ask(invariants.ENDS)
    ends = ["COMPLETED", "FAILED", "CANCELLED"]
    ends += sorted({row["status"] for row in rows} - set(ends))
    report.lines.append(f"jobs: {sum(row['jobs'] for row in rows)}, {len(soak.accepted)} INSERTs answered")
    report.lines.append("  " + "".join(f"{word:>11}" for word in ["", *ends]))
    for job_type in JOB_TYPES:
        counts = {row["status"]: row["jobs"] for row in rows if row["job_type"] == job_type}
        report.lines.append(f"  {job_type:>11}" + "".join(f"{counts.get(end, 0):11}" for end in ends))


def _count_recoveries(soak: Soak, report: Report) -> None:
    events = {row["event"]: row["events"] for row in soak.ask(invariants.ATTEMPTS)}
    report.lines.append(
        f"attempts: {events.get('CLAIMED', 0)}, of which {events.get('EXPIRED', 0)} were lost "
        f"and {events.get('RELEASED', 0)} given back"
    )
    (recovered,) = soak.ask(invariants.RECOVERED)
    report.lines.append(f"recoveries: {recovered['jobs']} jobs COMPLETED after such an attempt")
    noticed, claimed = [], []
    for row in soak.ask(invariants.RECOVERIES):
        name = f"job {row['job_id']} after attempt {row['attempt']}"
        start, end, again = (
            row[column].timestamp() for column in ("claimed_at", "ended_at", "claimed_again_at")
        )
        killed = soak.kills.get(_pid(row["worker_id"]), 0)
        if start <= killed <= end:
            noticed.append((end - killed, name))
            claimed.append((again - killed, name))
        else:
            claimed.append((again - end, name))
    report.lines.append(f"  from the kill of a worker until its attempt was taken away: {_spread(noticed)}")
    report.lines.append(
        f"  from the kill, or else the end of the attempt, to the next claim: {_spread(claimed)}"
    )


def _known_to(soak: Soak) -> dict[str, Any]:
    """What the rules ask for that no table says."""
    locks = [strike for strike in soak.strikes if strike.fault == "locks" and strike.ended is not None]
    return {
        "jobs_of_locker": sorted(soak.jobs_of_locker),
        "locked_from": [strike.began for strike in locks],
        "locked_to": [strike.ended for strike in locks],
        "flooded": sorted(soak.flooded),
        "urgent": soak.urgent,
        "few": 2 * soak.workers + 2,
    }


def _table(soak: Soak) -> list[str]:
    """Each fault: how often, how many jobs lost an attempt in its time, and what became of them."""
    harm = soak.ask(invariants.HARM)
    groups: dict[tuple[str, str], list[Strike]] = {}
    for strike in soak.strikes:
        groups.setdefault((strike.fault, strike.how), []).append(strike)
    rows = [("fault", "times", "jobs", "effect in its time")]
    for (fault, how), strikes in sorted(groups.items()):
        events = [row for row in harm if any(_is_within(row, strike) for strike in strikes)]
        rows.append(
            (
                f"{fault}: {how}",
                str(len(strikes)),
                str(len({row["job_id"] for row in events})),
                _effect(events, sum((strike.notes for strike in strikes), Counter())),
            )
        )
    width = max(len(row[0]) for row in rows)
    return [f"  {name:{width}} {times:>5} {jobs:>5}  {effect}".rstrip() for name, times, jobs, effect in rows]


def _is_within(row: DictRow, strike: Strike) -> bool:
    """Whether this came of the fault, as far as words, times and workers can tell: several strike at once."""
    lasted_until = strike.began if strike.ended is None else strike.ended
    signs = {fault for fault, words in SIGNS.items() if re.search(words, row["message"])}
    if signs and strike.fault not in signs:
        return False
    if strike.pids and _pid(row["worker_id"]) not in strike.pids:
        return False
    # A worker that is gone is noticed after its lease, and another tries to take up what it left.
    return bool(strike.began <= row["at"] <= lasted_until + (2 * LEASE if strike.pids else 1))


def _effect(events: list[DictRow], notes: Counter[str]) -> str:
    words = {"EXPIRED": "charged", "RELEASED": "given back", "FAILED": "FAILED"}
    counted = Counter(words[row["event"]] for row in events)
    parts = [f"{counted[word]} {word}" for word in words.values() if counted[word]]
    parts += [f"{number} {note}" for note, number in notes.items()]
    messages = [row["message"].splitlines()[0].rpartition("FATAL:  ")[2] for row in events]
    alike = Counter(re.sub(r"\d[\d:.+-]*", "N", message) for message in messages)
    for message, _ in alike.most_common(1):
        parts.append(f"mostly {message[:90]!r}")
    return ", ".join(parts)


def _spread(times: list[tuple[float, str]]) -> str:
    if not times:
        return "none"
    worst, name = max(times)
    median = statistics.median(seconds for seconds, _ in times)
    return f"median {median:.1f} s, worst {worst:.1f} s ({name})"


def _apply(
    soak: Soak, rules: dict[str, str], report: Report, guilty: list[int], known: dict[str, Any] | None = None
) -> int:
    jobs: set[int] = set()
    for rule, query in rules.items():
        rows = soak.ask(query, known)
        report.broken += [f"{rule}: not {_text(row)}" for row in rows[:SHOWN]]
        if len(rows) > SHOWN:
            report.broken.append(f"{rule}: nor {len(rows) - SHOWN} more")
        jobs |= {row["job_id"] for row in rows}
        guilty += [row["job_id"] for row in rows]
    return len(jobs)


def _bad_model_files(soak: Soak) -> Iterator[str]:
    for row in soak.ask(invariants.MODEL_FILES):
        path = Path(row["artifact_path"])
        if not path.exists():
            yield f"the file of each READY model is there: not {_text(row)}"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != row["artifact_sha256"]:
            yield f"the file of each READY model has its SHA-256: not {_text(row)}"


def _orphans(soak: Soak) -> tuple[list[str], list[str]]:
    """Files that no model owns: those of workers that could not remove them any more, and others."""
    owned = {row["artifact_path"] for row in soak.ask(invariants.MODEL_FILES)}
    logs = "".join(log_file.read_text(errors="replace") for log_file in soak.home.glob("worker-*.log"))
    left, others = [], []
    for path in sorted(path for path in soak.model_dir.rglob("*") if path.is_file()):
        if str(path) in owned:
            continue
        named = re.match(r"model_(\d+)_attempt_(\d+)_", path.name)
        attempts = soak.ask(invariants.ATTEMPT_OF_FILE, named.groups()) if named else []
        if any(
            _pid(attempt["worker_id"]) in soak.kills
            or _was_read_only(soak, attempt["ended"])
            or f"job={attempt['job_id']} attempt={attempt['attempt']} left, " in logs
            for attempt in attempts
        ):
            left.append(path.name)
        else:
            others.append(f"{path.name} {[_text(attempt) for attempt in attempts]}")
    return left, others


def _was_read_only(soak: Soak, moment: float | None) -> bool:
    """Whether a worker could remove nothing then."""
    return moment is not None and any(
        strike.began - 1 <= moment <= (strike.ended or strike.began) + 1
        for strike in soak.strikes
        if strike.fault == "read-only"
    )


def _story(soak: Soak, job_id: int) -> list[str]:
    """Everything that is known of a job."""
    lines = [f"job {job_id}:"]
    lines += [f"  {_text(row)}" for row in soak.ask(invariants.EVENTS_OF_JOB, [job_id])]
    for log_file in sorted(soak.home.glob("worker-*.log")):
        log = log_file.read_text(errors="replace")
        lines += [f"  {log_file.stem}: {line}" for line in re.findall(rf".*job={job_id} .*", log)]
    return lines


def _pid(worker_id: str) -> int:
    return int(worker_id.split(":")[1])


def _text(row: DictRow) -> str:
    return json.dumps(row, default=str)
