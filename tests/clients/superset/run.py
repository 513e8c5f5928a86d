"""Apache Superset on the views: charts of the leaderboard and of ROC curves, made by its API, photographed.

It is not part of the test suite, for Superset is large. It needs a Python environment of its own:

    python3.11 -m venv superset-venv
    superset-venv/bin/pip install 'apache-superset==6.1.*' 'marshmallow<4' 'flask-caching<2.4' \
        rich cachetools psycopg2-binary playwright
    apt-get install chromium        # or any Chromium; name it with --chromium

(Superset 6.1.0 needs rich and cachetools and does not say so, and does not start with a newer flask-caching.)
Something to show:

    ml-worker demo
    ml-worker psql -c "CREATE ROLE rita LOGIN PASSWORD '…' IN ROLE ml_reader"

and then, with the port that the demo has printed:

    superset-venv/bin/python tests/clients/superset/run.py postgresql://rita:…@127.0.0.1:54329/ml FOLDER

The folder gets the screenshots, and Superset's own database and log. By hand the same is: Settings, Database
connections, + Database, PostgreSQL; Datasets, + Dataset, schema public; Charts, + Chart.
"""

import argparse
import json
import logging
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Page, sync_playwright

log = logging.getLogger("superset")


def only(column: str, value: Any) -> dict[str, Any]:
    """The filter column = value."""
    return {
        "expressionType": "SIMPLE",
        "clause": "WHERE",
        "subject": column,
        "operator": "==",
        "comparator": value,
    }


def highest(column: str) -> dict[str, Any]:
    """The metric MAX(column), under the name of the column."""
    return {
        "expressionType": "SQL",
        "sqlExpression": f"MAX({column})",
        "label": column,
        "hasCustomLabel": True,
    }


SCORES = ["test_f1", "test_accuracy", "test_precision", "test_recall", "test_roc_auc", "training_f1"]
ROC: dict[str, Any] = {
    "x_axis": "fpr",
    "metrics": [highest("tpr")],
    "groupby": ["model_name"],
    "adhoc_filters": [only("source", "test")],
    "row_limit": 10000,
    "x_axis_title": "False positive rate",
    "x_axis_title_margin": 30,
    "y_axis_title": "True positive rate",
    "y_axis_title_margin": 40,
    "y_axis_format": ".2f",
    "x_axis_number_format": ".2f",
    "truncate_metric": True,
    "markerSize": 4,
    "show_legend": True,
}
# Name of the screenshot, view, kind of chart, and what a user would choose in its editor.
# Superset draws no line over an x that another series has and this one has not: several curves are points,
# and a line is one model's.
CHARTS: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "leaderboard",
        "ml_leaderboard",
        "table",
        {
            "query_mode": "raw",
            "all_columns": ["rank", "name", "target", *SCORES, "test_samples", "comparisons_won"],
            "order_by_cols": [json.dumps(["rank", True])],
            "column_config": {name: {"d3NumberFormat": ".4f"} for name in SCORES},
            "show_cell_bars": False,
            "row_limit": 100,
        },
    ),
    (
        "f1",
        "ml_leaderboard",
        "echarts_timeseries_bar",
        {
            "x_axis": "name",
            "metrics": [highest("test_f1"), highest("test_roc_auc")],
            "orientation": "vertical",
            "show_legend": True,
            "show_value": True,
            "row_limit": 100,
            "y_axis_format": ".3f",
        },
    ),
    ("roc_of_all", "ml_roc_curve", "echarts_timeseries_scatter", ROC),
    (
        "roc_of_model_1",
        "ml_roc_curve",
        "echarts_timeseries_line",
        ROC | {"adhoc_filters": [only("source", "test"), only("model_id", 1)]},
    ),
]


class Superset:
    """A Superset in a folder, and a client of its API."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.password = secrets.token_urlsafe(12)
        self.bin = Path(sys.executable).parent
        (folder / "superset.db").unlink(missing_ok=True)
        config = folder / "superset_config.py"
        config.write_text(
            f"SECRET_KEY = {secrets.token_urlsafe(42)!r}\n"
            f"SQLALCHEMY_DATABASE_URI = 'sqlite:///{folder / 'superset.db'}'\n"
            "TALISMAN_ENABLED = False  # it would demand https\n"
        )
        self.environment = os.environ | {
            "SUPERSET_HOME": str(folder),
            "SUPERSET_CONFIG_PATH": str(config),
            "FLASK_APP": "superset.app:create_app()",
        }
        self.session = requests.Session()

    @contextmanager
    def started(self) -> Iterator[None]:
        """Make its database and its user admin, start it, and log in."""
        with (self.folder / "superset.log").open("w") as output:

            def start(*words: str) -> subprocess.Popen[bytes]:
                command = [str(self.bin / words[0]), *words[1:]]
                return subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)

            admin = ["--username", "admin", "--password", self.password, "--email", "admin@localhost"]
            names = ["--firstname", "Ada", "--lastname", "Admin"]
            for words in (["db", "upgrade"], ["fab", "create-admin", *admin, *names], ["init"]):
                log.info("superset %s", " ".join(words[:2]))
                if start("superset", *words).wait():
                    raise SystemExit(f"it failed; see {output.name}")
            address = ["--bind", f"127.0.0.1:{self.port}", "--timeout", "300"]
            server = start("gunicorn", *address, "--threads", "4", "superset.app:create_app()")
            try:
                self._log_in(server)
                yield
            finally:
                server.terminate()
                server.wait()

    def _log_in(self, server: subprocess.Popen[bytes]) -> None:
        credentials: dict[str, Any] = {
            "username": "admin",
            "password": self.password,
            "provider": "db",
            "refresh": True,
        }
        while True:
            if server.poll() is not None:
                raise SystemExit("Superset ended; see its log")
            try:
                answer = self.session.post(f"{self.url}/api/v1/security/login", json=credentials, timeout=120)
                break
            except requests.ConnectionError:
                time.sleep(1)
        answer.raise_for_status()
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self.session.headers["X-CSRFToken"] = self.call("GET", "security/csrf_token/")["result"]

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Call its API; returns the answer."""
        answer = self.session.request(method, f"{self.url}/api/v1/{path}", json=body or None, timeout=120)
        if not answer.ok:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()


def photograph(page: Page, url: str, file: Path) -> None:
    """Open a chart and wait until it is drawn."""
    page.goto(url, wait_until="domcontentloaded")
    page.wait_for_selector("[data-test='chart-container'] canvas, [data-test='chart-container'] table")
    page.wait_for_selector(".loading", state="detached")
    page.wait_for_timeout(3000)  # the chart is animated
    page.screenshot(path=str(file))
    alert = page.query_selector("[role='alert']")
    if alert is not None and "error" in alert.inner_text().lower():
        raise SystemExit(f"{file.stem}: {alert.inner_text()}")


def main() -> None:
    """Start Superset, make the charts, photograph them, stop it."""
    parser = argparse.ArgumentParser(description="Chart the leaderboard and ROC curves with Apache Superset.")
    parser.add_argument("database", help="postgresql://LOGIN:PASSWORD@HOST:PORT/DATABASE, of a reader")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    superset = Superset(folder, options.port)
    with superset.started():
        uri = re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", options.database)
        database = superset.call("POST", "database/", database_name="ML", sqlalchemy_uri=uri)["id"]
        tables = superset.call("GET", f"database/{database}/tables/?q=(schema_name:public)")["result"]
        views = sorted(table["value"] for table in tables if table["type"] == "view")
        log.info("it finds %d views: %s", len(views), ", ".join(views))
        datasets = {
            view: superset.call("POST", "dataset/", database=database, schema="public", table_name=view)["id"]
            for view in sorted({view for _, view, _, _ in CHARTS})
        }
        charts = {
            name: superset.call(
                "POST",
                "chart/",
                slice_name=f"{name} of {view}",
                viz_type=kind,
                datasource_id=datasets[view],
                datasource_type="table",
                params=json.dumps({"viz_type": kind, "datasource": f"{datasets[view]}__table", **params}),
            )["id"]
            for name, view, kind, params in CHARTS
        }
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.set_default_timeout(180_000)
            page.goto(f"{superset.url}/login/")
            page.fill("[name='username'], #username", "admin")
            page.fill("[name='password'], #password", superset.password)
            page.press("[name='password'], #password", "Enter")
            page.wait_for_url("**/superset/welcome/**")
            for name, chart in charts.items():
                url = f"{superset.url}/explore/?slice_id={chart}&standalone=1"
                photograph(page, url, folder / f"{name}.png")
                log.info("%s", folder / f"{name}.png")
            browser.close()


if __name__ == "__main__":
    main()
