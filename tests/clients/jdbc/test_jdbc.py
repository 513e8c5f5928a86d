"""JDBC, by a Java program of its own."""

import os
import shutil
from pathlib import Path

import pytest

from tests.clients.steps import Notes, Service, Steps, run_program

JAR = Path("/usr/share/java/postgresql.jar")

pytestmark = [
    pytest.mark.skipif(shutil.which("javac") is None, reason="there is no Java compiler on this machine"),
    pytest.mark.skipif(
        not JAR.exists(),
        reason="there is no JDBC driver here (Debian: apt-get install libpostgresql-jdbc-java)",
    ),
]


@pytest.fixture(scope="module")
def notes(service: Service) -> Notes:
    program = Path(__file__).with_name("Client.java")
    options = ["-Dfile.encoding=UTF-8", "-XX:TieredStopAtLevel=1", "-cp", str(JAR)]
    return run_program(service, ["java", *options, str(program)], os.environ)


class TestJdbc(Steps):
    pass
