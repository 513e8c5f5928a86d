"""What a worker tells Prometheus: its own counts, and the queue as it last saw it.

The supervisor calls the methods, which only change numbers in memory; a thread of its own answers scrapes.
Names that begin with ``ml_queue_`` are of the whole service, the same from every worker; ``ml_worker_`` are
this worker's own.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from worker.child import kinds
from worker.protocol import Job

OUTCOMES = ("completed", "failed", "released", "crashed", "cancelled", "lease_lost", "unrecorded")
LACKS = ("connection", "folder", "memory", "server")
_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200)


class Metrics:
    """The metrics of one worker."""

    def __init__(self) -> None:
        # Of each, a second series that is of use to nobody here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._info = Info("ml_worker", "This worker, as ml_workers names it", registry=registry)
        self._connected = Gauge(
            "ml_worker_connected", "1 while connected to the database, else 0", registry=registry
        )
        self._concurrency = Gauge("ml_worker_concurrency", "Jobs that it does at a time", registry=registry)
        self._running = Gauge("ml_worker_running_jobs", "Jobs that it does now", registry=registry)
        self._paused = Gauge(
            "ml_worker_paused",
            "1 while it claims no jobs, or not all, for lack of this, else 0: " + ", ".join(LACKS),
            ["lack"],
            registry=registry,
        )
        for lack in LACKS:
            self._paused.labels(lack)
        self._reconnects = Counter(
            "ml_worker_reconnects", "Connections made after one was lost", registry=registry
        )
        self._waited = Histogram(
            "ml_worker_job_waiting_seconds",
            "Time from a job's INSERT to its first claim",
            ["type"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._lasted = Histogram(
            "ml_worker_job_duration_seconds",
            "Time from the claim to the end of an attempt, by how it ended: " + ", ".join(OUTCOMES),
            ["type", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._jobs = Counter(
            "ml_worker_jobs",
            "Attempts that have ended, by how: " + ", ".join(OUTCOMES),
            ["type", "outcome"],
            registry=registry,
        )
        self._leases_lost = Counter(
            "ml_worker_leases_lost", "Attempts whose lease it could not renew in time", registry=registry
        )
        self._leases_expired = Counter(
            "ml_worker_leases_expired",
            "Leases of any worker, most likely a dead one, that it found ended",
            registry=registry,
        )
        self._queue = Gauge(
            "ml_queue_jobs", "Jobs that wait (PENDING) or run (RUNNING)", ["type", "state"], registry=registry
        )
        self._oldest = Gauge(
            "ml_queue_oldest_seconds",
            "Age of the oldest job that waits, 0 where none does",
            ["type"],
            registry=registry,
        )
        for job_type in sorted(kinds.names()):  # a rate needs the 0 from which it rose
            self._waited.labels(job_type)
            for outcome in OUTCOMES:
                self._jobs.labels(job_type, outcome)

    def serve(self, port: int) -> int:
        """Answer scrapes of ``/metrics`` on this port, on every address; 0 is any free one. Returns the port.

        Raises:
            OSError: the port cannot be had.
        """
        try:
            server, _ = start_http_server(port, registry=self.registry)
        except OSError as error:
            raise OSError(f"metrics cannot be served on port {port}: {error.strerror or error}") from error
        return int(server.server_port)

    def started(self, worker_id: str, concurrency: int, running: Callable[[], float]) -> None:
        """The worker begins; ``running`` tells, from any thread, how many jobs it does."""
        self._info.info({"worker_id": worker_id})
        self._concurrency.set(concurrency)
        self._running.set_function(running)
        self._connected.set(1)

    def paused(self, lack: str, is_paused: bool) -> None:
        """The worker lacks this, or has it again."""
        self._paused.labels(lack).set(is_paused)

    def connection_lost(self) -> None:
        """Nothing is known of the queue until the next look at it."""
        self._connected.set(0)
        self._queue.clear()
        self._oldest.clear()

    def reconnected(self) -> None:
        """A connection was made after one was lost."""
        self._connected.set(1)
        self._reconnects.inc()

    def claimed(self, job: Job) -> None:
        """A job was taken."""
        if job.attempt == 1:
            self._waited.labels(job.job_type).observe(job.waited)

    def ended(self, job: Job, outcome: str, seconds: float) -> None:
        """An attempt ended so, after so many seconds."""
        self._jobs.labels(job.job_type, outcome).inc()
        self._lasted.labels(job.job_type, outcome).observe(seconds)
        if outcome == "lease_lost":
            self._leases_lost.inc()

    def leases_expired(self, number: int) -> None:
        """So many jobs were taken away from workers that sent no heartbeat."""
        self._leases_expired.inc(number)

    def set_queue(self, counts: Iterable[Mapping[str, Any]]) -> None:
        """The queue is so now; rows as :func:`worker.database.reading.count_queue` gives them."""
        for row in counts:
            self._queue.labels(row["job_type"], row["status"]).set(row["jobs"])
            if row["status"] == "PENDING":
                self._oldest.labels(row["job_type"]).set(row["oldest"])
