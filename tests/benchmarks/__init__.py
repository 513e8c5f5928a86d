"""Benchmarks; run with the environment of a worker's child, which libraries read when they are loaded."""

import os

from worker.service.children import ENVIRONMENT

os.environ |= ENVIRONMENT
