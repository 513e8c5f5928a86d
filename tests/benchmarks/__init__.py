"""Benchmarks; run with the environment of a worker's child, which libraries read when they are loaded."""

import os

from worker.supervisor import CHILD_ENVIRONMENT

os.environ |= CHILD_ENVIRONMENT
