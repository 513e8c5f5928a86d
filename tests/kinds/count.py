"""A fourth kind of job, as another distribution may provide it: one file, which reads no model's file."""

from worker.child.task import Result, Task


def run(task: Task) -> Result:
    period, phases = task.assignment.period, task.assignment.phases
    row = task.connection.execute(
        """SELECT count(*) FROM public.coin_metrics WHERE timestamp >= %s AND timestamp < %s
            AND (%s::integer[] IS NULL OR phase_id_at_time = ANY (%s))""",
        [period.start, period.end, *[None if phases is None else list(phases)] * 2],
    ).fetchone()
    assert row is not None
    return {"num_rows": row[0]}
