"""What a worker lacks for its jobs: a folder that takes a write, memory, a server or a child that will do.

Each lack is said once: in the log, the metrics and the worker's sign. What needs it is not claimed, until a
trial succeeds; trials come after growing pauses.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from worker import model_folder
from worker.child import kinds, memory
from worker.protocol import Job, Unable
from worker.service.pauses import Pause

if TYPE_CHECKING:
    from worker.service.prometheus import Metrics

log = logging.getLogger("ml-worker")

FOLDER_SECONDS = 1.0  # a write into the folder of the models is believed for this time
FOLDER_ANSWERS_SECONDS = 2.0  # else it counts as away: one on a network may wait for ever
LONGEST_LEFT_SECONDS = 60.0  # until a job is tried again that this worker could not do
MEMORY_SECONDS = 300.0  # a job waits for memory while others pass it


@dataclass
class Left:
    """A job that this worker cannot do now, for others to take.

    Attributes:
        pause: until it is tried again.
        num_bytes: of memory that must be free before.
        since: monotonic time when it was first left.
        is_pending: whether it waited when the queue was last looked at; else another worker tries.
    """

    pause: Pause = field(default_factory=lambda: Pause(LONGEST_LEFT_SECONDS))
    num_bytes: int = 0
    since: float = field(default_factory=time.monotonic)
    is_pending: bool = False

    def is_possible(self, free: float) -> bool:
        """Whether it may be tried, with so many bytes of memory."""
        return self.pause.is_over and self.num_bytes <= free


@dataclass
class Lacks:
    """What a worker lacks now.

    Attributes:
        worker_id: for the log.
        model_dir: folder of the models of all databases.
        patience: longest that a folder may take to answer, in seconds.
        note: is called when something is lacking or there again.
        metrics: are told, too.
        reasons: what is lacking, and in what words.
        pauses: until the next trial.
        writing: types of job that need the folder, as children say.
        left: jobs that this worker could not do, by id.
    """

    worker_id: str
    model_dir: Path
    patience: float
    note: Callable[[], None]
    metrics: "Metrics | None"
    reasons: dict[str, str] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=lambda: {"folder": Pause(), "server": Pause()})
    writing: frozenset[str] = frozenset()
    left: dict[int, Left] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._room = model_folder.ROOM
        self._folder_due = 0.0
        self.set_folder(self.model_dir)

    def set_folder(self, folder: Path) -> None:
        """Where the model files of this database are, once that is known."""
        self.folder, self.trial = folder, model_folder.Trial(folder)

    def begin(self, lack: str, reason: str) -> None:
        """Say once what keeps this worker from jobs."""
        if self.reasons.get(lack) == reason:
            return
        if lack not in self.reasons:
            log.error("worker=%s paused lack=%s: %s", self.worker_id, lack, reason)
        self.reasons[lack] = reason
        self.note()
        if self.metrics:
            self.metrics.paused(lack, True)

    def end(self, lack: str) -> None:
        """Say once that it is there again."""
        if lack in self.pauses:
            self.pauses[lack].end()
        if self.reasons.pop(lack, None) is None:
            return
        log.info("worker=%s resumed lack=%s", self.worker_id, lack)
        self.note()
        if self.metrics:
            self.metrics.paused(lack, False)

    def fail(self, lack: str, reason: str) -> None:
        """A trial has failed: the next comes later."""
        self.pauses[lack].lengthen()
        self.begin(lack, reason)

    def reason(self) -> str | None:
        """What keeps this worker from all jobs, or from some."""
        some = f"claims no {' and '.join(sorted(self.writing))} jobs: " if self.writing else ""
        reasons = [
            (some if lack == "folder" else "") + reason for lack, reason in sorted(self.reasons.items())
        ]
        return "; ".join(reasons) or None

    def trials_after(self, moment: float) -> list[float]:
        """Monotonic times of the trials that are due after this one."""
        pauses = [self.pauses[lack] for lack in self.reasons if lack in self.pauses]
        pauses += [left.pause for left in self.left.values()]
        return [pause.until for pause in pauses if pause.until > moment]

    def possible_kinds(self) -> frozenset[str]:
        """Types of job for which the folder of the models will do."""
        if not self.pauses["folder"].is_over:
            return self._without_folder()
        if "folder" in self.reasons or time.monotonic() >= self._folder_due:
            try:
                self.trial.make(self._room, min(FOLDER_ANSWERS_SECONDS, self.patience))
            except model_folder.FolderError as error:
                self.fail("folder", str(error))
                return self._without_folder()
            self.end("folder")
            self._folder_due = time.monotonic() + FOLDER_SECONDS
        return kinds.names()

    def _without_folder(self) -> frozenset[str]:
        # An empty one may be where a disk should be mounted: then every model would be called missing.
        try:
            is_old = (path.is_file() for path in self.model_dir.iterdir())
            has_models = any(self.folder.iterdir()) or any(is_old)
        except OSError:
            has_models = False
        return kinds.names() - self.writing if has_models else frozenset()

    def keep_left(self, open_jobs: Mapping[int, bool]) -> None:
        """Forget jobs that have ended. Of the others it is known whether each waits."""
        self.left = {job_id: left for job_id, left in self.left.items() if job_id in open_jobs}
        for job_id, left in self.left.items():
            left.is_pending = open_jobs[job_id]

    def left_jobs(self) -> list[int]:
        """Jobs that this worker does not claim now."""
        free = memory.free() if any(left.num_bytes for left in self.left.values()) else 0.0
        return [job_id for job_id, left in self.left.items() if not left.is_possible(free)]

    def must_make_room(self) -> bool:
        """Whether a job has waited so long for memory that nothing is begun before it.

        That helps only if it has room once the jobs that run on this machine have ended.
        """
        late = {
            job_id: left
            for job_id, left in self.left.items()
            if left.is_pending and left.num_bytes and time.monotonic() >= left.since + MEMORY_SECONDS
        }
        free, later = (memory.free(), memory.free_later()) if late else (0.0, 0.0)
        for job_id, left in late.items():
            if left.num_bytes <= later and not left.is_possible(free):
                self.begin("memory", f"job {job_id} has waited long for memory: no other is begun before it")
                return True
        self.end("memory")
        return False

    def leave(self, job_id: int, unable: Unable) -> None:
        """What a child found missing: the job is for others to take, and so are those that need the same."""
        left = self.left.setdefault(job_id, Left())
        left.pause.lengthen()
        if unable.lack == "memory":
            left.num_bytes = unable.num_bytes
        elif unable.lack == "folder":
            self._room = max(self._room, model_folder.ROOM + unable.num_bytes)
            self.fail("folder", unable.message)

    def note_end(self, job: Job, *, has_result: bool) -> None:
        """This job has ended here."""
        self.left.pop(job.id, None)
        if has_result and job.job_type in self.writing:
            self._room = model_folder.ROOM
