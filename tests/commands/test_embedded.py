"""The embedded server: made on demand, reachable by socket and TCP, with a password."""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from worker.commands.install import install
from worker.embedded import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    made = Server(home, settings=("fsync = off",))
    assert made.start()
    yield made
    made.stop()
    shutil.rmtree(home)


def test_it_is_reached_by_socket_and_by_tcp(server: Server) -> None:
    for url in (server.url(), server.tcp_url()):
        with psycopg.connect(url) as connection:
            assert connection.info.dbname == "ml"
            assert connection.info.server_version >= 180000


def test_both_ways_ask_for_the_password(server: Server) -> None:
    assert len(server.password) >= 20
    for url in (server.url(), server.tcp_url()):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url.replace(server.password, "wrong"))


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_the_password_is_the_owners_alone(server: Server) -> None:
    assert (server.home / "password").stat().st_mode & 0o077 == 0


def test_starting_again_keeps_data_and_address(server: Server) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id integer)")
    before = server.tcp_url()
    assert not server.start()
    assert server.stop()
    assert not server.stop()
    assert not server.start()
    assert server.tcp_url() == before
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_second_server_takes_another_port_and_a_long_path_a_short_socket() -> None:
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    deep = Server(home / ("a" * 60) / ("b" * 60), settings=("fsync = off",))
    try:
        deep.start()
        with psycopg.connect(deep.url()) as by_socket, psycopg.connect(deep.tcp_url()) as by_tcp:
            assert by_socket.execute("SELECT 1").fetchone() == by_tcp.execute("SELECT 1").fetchone()
    finally:
        deep.stop()
        shutil.rmtree(home)


@pytest.mark.parametrize("name", ['h\'ome "q"', "back\\slash", "a, b ü"])
def test_the_folder_may_have_any_name(name: str) -> None:
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    odd = Server(home / name, settings=("fsync = off",))
    try:
        odd.start()
        with psycopg.connect(odd.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        odd.stop()
        shutil.rmtree(home)


def test_two_starts_at_once_prepare_the_database_once() -> None:
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    prepared: list[str] = []

    def start() -> None:
        Server(home, settings=("fsync = off",)).start(prepare)

    def prepare(url: str) -> None:
        prepared.append(url)
        install(url)

    try:
        with ThreadPoolExecutor() as threads:
            for ended in [threads.submit(start) for _ in range(3)]:
                ended.result()
        assert len(prepared) == 1
        with psycopg.connect(Server(home).url()) as connection:
            assert connection.execute("SELECT count(*) FROM ml_jobs").fetchone() == (0,)
    finally:
        Server(home).stop()
        shutil.rmtree(home)


def test_a_start_that_was_cut_off_is_made_up_for() -> None:
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    half = Server(home, settings=("fsync = off",))
    (home / "postgres.new" / "base").mkdir(parents=True)
    try:
        assert half.start()
    finally:
        half.stop()
        shutil.rmtree(home)
