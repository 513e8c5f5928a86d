"""Settings of a session: all that a server has, with values other than those that it has by itself.

Tests take them a group at a time, and those of a group that makes a difference one by one.
"""

import re
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any

import psycopg

Setting = tuple[str, str]
GROUP = 40

# Settings of text that are read in some way, and other values.
TEXTS = {
    "DateStyle": ("German, DMY", "SQL, DMY", "SQL, MDY", "Postgres, MDY", "ISO, YMD"),
    "client_encoding": ("LATIN1", "WIN1252", "SQL_ASCII", "EUC_JP"),
    "default_tablespace": ("pg_default",),
    "default_text_search_config": ("pg_catalog.simple",),
    "lc_monetary": ("C.utf8",),
    "lc_numeric": ("C.utf8",),
    "lc_time": ("C.utf8",),
    "plpgsql.extra_errors": ("all",),
    "plpgsql.extra_warnings": ("all",),
    "restrict_nonsystem_relation_kind": ("foreign-table",),
    "search_path": ("", "pg_temp", "public, pg_catalog", "ml, ml_internal"),
    "temp_tablespaces": ("pg_default",),
    "timezone_abbreviations": ("Australia",),
}
# What a login does not set, but an administrator can give it.
GIVEN = ("plpgsql.variable_conflict", "temp_file_limit", "log_statement")
NOT_TRIED = {
    "transaction_read_only",  # of one transaction
    "transaction_isolation",
    "transaction_deferrable",
    "max_stack_depth",
    "debug_discard_caches",  # reads the catalog anew for each name: hours
    "debug_print_parse",  # fill the server's log
    "debug_print_plan",
    "debug_print_rewritten",
    "debug_print_raw_parse",
}


def alternatives(admin: psycopg.Connection[Any]) -> dict[str, tuple[str, ...]]:
    """Each setting that a login can have, with other values. How long it may wait is tested elsewhere."""
    admin.execute("LOAD 'plpgsql'")
    query = """
        SELECT s.name, s.vartype, s.setting, s.min_val, s.max_val, s.enumvals FROM pg_settings s
        WHERE s.context = 'user' OR s.name = ANY (%s) ORDER BY s.name
    """
    found = {}
    for name, kind, present, least, most, values in admin.execute(query, [list(GIVEN)]):
        if name in NOT_TRIED or name.endswith("_timeout"):
            continue
        match kind:
            case "bool":
                other = ["off" if present == "on" else "on"]
            case "enum":
                other = values
            case "integer" | "real":
                more = min(float(most), 4 * float(present) + 4)  # with the most, some statements cannot begin
                other = [least, str(int(more) if kind == "integer" else more)]
            case _:
                other = list(TEXTS.get(name, ()))
        found[name] = tuple(value for value in other if value != present)
    return found


def groups(settings: dict[str, tuple[str, ...]]) -> list[list[Setting]]:
    """As few groups as there can be that have all values of all settings, each setting once in a group."""
    most = max(map(len, settings.values()))
    made: list[list[Setting]] = [[] for _ in range(max(most, ceil(sum(map(len, settings.values())) / GROUP)))]
    for name, values in settings.items():
        for value, group in zip(values, sorted(made, key=len), strict=False):
            group.append((name, value))
    assert max(map(len, made)) <= GROUP
    return made


def options(settings: Iterable[Setting]) -> str:
    """As a connection string gives them: a backslash holds together what a space would separate."""
    return " ".join("-c " + re.sub(r"([\\ ])", r"\\\1", f"{name}={value}") for name, value in settings)


def commands(owner: str, settings: Sequence[Setting]) -> list[str]:
    """As an administrator gives them, to ``ROLE anna IN DATABASE test_1`` or to ``DATABASE test_1``."""
    lists = {"search_path", "temp_tablespaces", "local_preload_libraries"}
    return [
        f"ALTER {owner} SET {name} TO "
        + (", ".join(f"'{item}'" for item in value.split(", ")) if name in lists else f"'{value}'")
        for name, value in settings
    ]
