"""Finds the modules that extend the worker: those of a package, and those that other distributions provide.

Nothing is imported in order to find it.
"""

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType


@cache
def own(package: str) -> dict[str, str]:
    """Modules of a package by name, each with the path to import; those that begin with _ are not meant."""
    found = pkgutil.iter_modules(import_module(package).__path__)
    return {module.name: f"{package}.{module.name}" for module in found if not module.name.startswith("_")}


@cache
def provided(group: str) -> dict[str, str]:
    """Modules that installed distributions name as entry points of this group: name to the path to import."""
    return {point.name: point.value for point in entry_points(group=group)}


def names(package: str, group: str) -> frozenset[str]:
    """Names of all modules of either origin."""
    return frozenset(own(package) | provided(group))


def load(package: str, group: str, name: str) -> ModuleType | None:
    """Import a module by its name; a package's own comes first. None if there is none."""
    path = own(package).get(name) or provided(group).get(name)
    return import_module(path) if path else None
