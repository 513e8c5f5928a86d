"""asyncpg: every statement is prepared; the server says which type a parameter has, unless it is cast."""

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import asyncpg
import pytest

from tests.clients.steps import (
    COMPARISON,
    DESCRIPTION,
    END,
    FEATURES,
    MODEL,
    PERIOD,
    REFUSED,
    SECONDS,
    START,
    TEST,
    Notes,
    Service,
    Steps,
    overheard,
)

TRAIN = """
    INSERT INTO ml_jobs (
        job_type, priority, train_target_var, train_operator, train_value, train_start, train_end,
        train_features_csv, train_model_type, train_description
    ) VALUES ('TRAIN', $1, 'market_cap_close', '>', $2, $3, $4, $5, 'logistic_regression', $6)
    RETURNING id
"""
ADD_TEST = """
    INSERT INTO ml_jobs (job_type, status, test_model_id, test_start, test_end)
    VALUES ('TEST', 'PENDING', $1, $2, $3) RETURNING id
"""
COMPARE = """
    INSERT INTO ml_jobs (job_type, compare_model_a_id, compare_model_b_id, compare_start, compare_end)
    VALUES ('COMPARE', $1, $2, $3, $4) RETURNING id
"""
PLAIN = (5, 50000, START, END, FEATURES, None)


class Session:
    """A connection that collects what it hears."""

    def __init__(self, service: Service, notes: Notes) -> None:
        self.service, self.notes = service, notes
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    async def open(self, name: Literal["busy", "quiet"]) -> None:
        self.connection = await asyncpg.connect(**self.service.login(name))
        await self.connection.add_listener("ml_job_status", self._hear)

    def _hear(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        self.heard.put_nowait(str(payload))

    async def listen(self) -> str:
        self.notes.heard.append(await asyncio.wait_for(self.heard.get(), SECONDS))
        return self.notes.heard[-1]

    async def row(self, table: str, columns: tuple[str, ...], row_id: int) -> dict[str, Any]:
        found = await self.connection.fetchrow(
            f"SELECT {', '.join(columns)} FROM {table} WHERE id = $1", row_id
        )
        return dict(found or {})

    async def finish(self, job_type: str, query: str, *values: Any) -> dict[str, Any]:
        job_id = self.notes.jobs[job_type] = await self.connection.fetchval(query, *values)
        while await self.listen() != f"{job_id} COMPLETED":
            pass
        job = await self.connection.fetchrow("SELECT * FROM ml_jobs WHERE id = $1", job_id)
        assert job is not None
        self.notes.statuses[job_type] = job["status"]
        return dict(job)

    async def work(self) -> None:
        await self.open("busy")
        rows = self.notes.rows
        job = await self.finish("TRAIN", TRAIN, *PLAIN)
        model = job["result_model_id"]
        rows["TRAIN"] = await self.row("ml_models", MODEL, model)
        job = await self.finish("TEST", ADD_TEST, model, *PERIOD)
        rows["TEST"] = await self.row("ml_test_results", TEST, job["result_test_id"])
        job = await self.finish("COMPARE", COMPARE, model, self.service.rival, *PERIOD)
        rows["COMPARE"] = await self.row("ml_comparisons", COMPARISON, job["result_comparison_id"])
        await self.connection.close()

    async def bind(self) -> None:
        typed = "VALUES ('TRAIN', $1{}, 'market_cap_close', '>', $2{}, $3{}, $4{}, $5{},"
        naive = (START.replace(tzinfo=None), END.replace(tzinfo=None))
        bound: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
            "as the server says": (("", "", "", "", ""), (3, Decimal("50000.5"), START, END)),
            "int8, float8, timestamp without zone, varchar": (
                ("::int8", "::float8", "::timestamp", "::timestamp", "::varchar"),
                (3, 50000.5, *naive),
            ),
            "int2, numeric, date without zone": (
                ("::int2", "::numeric", "::date", "::date", ""),
                (
                    3,
                    Decimal("50000.5"),
                    *map(date.fromtimestamp, (naive[0].timestamp(), naive[1].timestamp())),
                ),
            ),
            "text": (
                ("::text::int", "::text::numeric", "::text::timestamptz", "::text::timestamptz", "::text"),
                ("3", "50000.5", START.isoformat(), END.isoformat()),
            ),
        }
        for types, (casts, values) in bound.items():
            query = TRAIN.replace(typed.format("", "", "", "", ""), typed.format(*casts))
            self.notes.bound[types] = await self.connection.fetchval(query, *values, FEATURES, DESCRIPTION)

    async def ask(self) -> None:
        notes = self.notes
        await self.open("quiet")
        await self.connection.execute("SET TimeZone = 'Europe/Berlin'")
        await self.bind()

        for how, query in (
            ("UPDATE", "UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = $1"),
            ("CALL", "CALL ml.cancel_job($1)"),
        ):
            notes.cancelled[how] = await self.connection.fetchval(TRAIN, *PLAIN)
            await self.connection.execute(query, notes.cancelled[how])
            await self.listen()

        await self.connection.execute("NOTIFY ml_jobs, 'before'")
        transaction = self.connection.transaction()
        await transaction.start()
        notes.transactions["rolled_back"] = await self.connection.fetchval(TRAIN, *PLAIN)
        await transaction.rollback()
        await self.connection.execute("NOTIFY ml_jobs, 'rolled back'")
        async with self.connection.transaction():
            notes.transactions["committed"] = await self.connection.fetchval(TRAIN, *PLAIN)
        await self.connection.execute("NOTIFY ml_jobs, 'committed'")

        for statement, *_ in REFUSED:
            with pytest.raises(asyncpg.PostgresError) as caught:
                await self.connection.fetch(statement)
            said: Any = caught.value
            notes.refused.append([said.sqlstate, said.message, said.hint])
        await self.connection.close()


@pytest.fixture(scope="module")
def notes(service: Service) -> Notes:
    with overheard(service) as notes:
        session = Session(service, notes)

        async def all_steps() -> None:
            await session.work()
            await session.ask()

        asyncio.run(all_steps())
    return notes


class TestAsyncpg(Steps):
    pass
