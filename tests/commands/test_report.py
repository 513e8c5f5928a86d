"""The page on models, read as a browser reads it: what it shows is what the views say."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_cli import ml_worker
from tests.conftest import PASSWORD, TRAIN, Connection, Database, claim, insert_job, job_row, ready_model
from tests.sql.helpers import (
    BASELINES,
    BEATEN,
    COMPARE_PERIOD,
    CURVE,
    INTERVALS,
    SCORE_PERIOD,
    TEST_PERIOD,
    complete,
    interval,
    running_job,
)
from tests.sql.test_folds import THREE, running
from worker.commands import report

NAME = "<script>alert('1')</script> & \"co\""
SIZE, LEFT, TOP = 280, 48, 10  # of the plots, in the template


class Page(HTMLParser):
    """Elements as (tag, attributes), and the text of all."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.inside: list[str] = []
        self.text = ""
        self.style = ""
        self.lines: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        self.inside.append(tag)
        if tag == "svg":
            self.chart = (given.get("data-topic", ""), given.get("data-source", ""))
        if tag == "polyline":
            points = [tuple(map(float, point.split(","))) for point in given["points"].split()]
            self.lines[*self.chart, int(given["data-model"])] = [
                ((x - LEFT) / SIZE, 1 - (y - TOP) / SIZE) for x, y in points
            ]

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] == "style":
            self.style += data
        else:
            self.text += f" {data} "

    def words(self) -> str:
        return " ".join(self.text.split())


def _tested_model(client: Connection, worker: Connection, name: str, **told: Any) -> int:
    """A model with curves of its training and of a test."""
    job_id = running_job(client, worker, train_model_name=name)
    complete(worker, job_id, "TRAIN", ml_curve_points=CURVE, **told)
    model_id = int(job_row(client, job_id)["result_model_id"])
    insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
    complete(worker, claim(worker)["id"], "TEST", ml_curve_points=CURVE, **told)
    return model_id


def _page(db: Database, *model_ids: int) -> Page:
    return Page(report.render(db.login("rosa"), model_ids))


def test_the_curves_are_the_rows_of_the_views(
    db: Database, client: Connection, worker: Connection, reader: Connection
) -> None:
    models = [_tested_model(client, worker, name) for name in ("one", "two")]
    page = _page(db, *models)
    views = {
        "roc": "SELECT fpr AS x, tpr AS y FROM ml_roc_curve WHERE model_id = %s AND source = %s "
        "ORDER BY fpr, tpr",
        "pr": "SELECT recall AS x, precision_score AS y FROM ml_pr_curve WHERE model_id = %s AND source = %s "
        "ORDER BY threshold DESC NULLS LAST",
        "calibration": "SELECT mean_predicted AS x, share_positive AS y FROM ml_calibration "
        "WHERE model_id = %s AND source = %s AND num_samples > 0 ORDER BY bin",
    }
    assert len(page.lines) == 12
    for (topic, source, model_id), drawn in page.lines.items():
        rows = reader.execute(views[topic], [model_id, source]).fetchall()
        assert rows
        assert drawn == [pytest.approx((row["x"], row["y"]), abs=0.0001) for row in rows], (topic, source)


def test_the_page_shows_the_metrics_beside_the_trivial_baseline_and_the_confusion_matrix(
    db: Database, client: Connection, worker: Connection
) -> None:
    model = _tested_model(client, worker, "one")
    words = _page(db, model).words()
    # 40 of 50 positive and 140 of 150 negative rows were right.
    assert "200 rows, 25.0% positive" in words
    assert "0.9000 0.8000 0.8000 0.8000 0.9000" in words
    assert "always negative the same rows 0.7500 \N{EN DASH} 0.0000 0.0000 0.5000" in words
    assert "40 80.0% found 10 20.0% missed" in words
    assert "10 6.7% false alarms 140 93.3% right" in words
    assert "2024-03-01 to 2024-04-01" in words
    assert "fitted on 800 others" in words


def test_the_page_says_first_whether_the_best_baseline_is_beaten_and_shows_each_one(
    db: Database, client: Connection, worker: Connection
) -> None:
    why = "there is no horizon"
    rows = [row for row in BASELINES if row["baseline"] != "persistence"]
    rows.append({"place": 0, "baseline": "persistence", "reason": why})
    told: dict[str, Any] = {**BEATEN, "best_baseline": "best_feature", "baseline_f1": 70 / 135}
    models = []
    for lower in (0.05, -0.05):
        job_id = running_job(client, worker)
        complete(worker, job_id, "TRAIN", **told | {"baseline_lower": lower}, ml_baselines=rows)
        models.append(int(job_row(client, job_id)["result_model_id"]))
    page = _page(db, *models)
    words = page.words()
    beaten, other = (
        words.index(f"on held-out rows {said} its best baseline, best feature: F1 0.8000 against 0.5185")
        for said in ("beats", "does not provably beat")
    )
    assert beaten < other < words.index("The models")
    assert [given.get("class") for tag, given in page.elements if tag == "li"][:2] == [None, "warn"]
    assert words.count("best feature for") == words.count("price_open > 0.5") == 2
    assert f"persistence {why}" in words
    assert "always positive the same rows 0.2500 0.2500 1.0000 0.4000 0.5000 0.2500" in words
    assert "trivial" not in words


def test_a_comparison_on_the_page_stands_beside_the_baselines(
    db: Database, client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = running_job(client, worker, "COMPARE")
    both = [row for row in BASELINES if row["place"] == 0]
    both += [{**row, "place": place} for place in (1, 2) for row in BASELINES if row["place"]]
    told = {f"{side}_{name}": value for side in "ab" for name, value in BEATEN.items()}
    complete(worker, job_id, "COMPARE", **told | {"b_baseline_lower": -0.1}, ml_baselines=both)
    job = job_row(client, job_id)
    models = [job["compare_model_a_id"], job["compare_model_b_id"]]
    words = _page(db, *models).words()
    assert "beats persistence, F1 0.6000" in words
    assert "does not provably beat persistence, F1 0.6000" in words
    lines = [row["line"] for row in reader.execute("SELECT ml.report(%s) AS line", [models[0]])]
    assert any("F1 0.8000 to 0.6667; F1 of persistence: 0.6000" in line for line in lines)


def test_honest_notes_say_what_the_numbers_do_not(
    db: Database, client: Connection, worker: Connection
) -> None:
    insert_job(client, **TRAIN)
    time_model = claim(worker)["id"]
    complete(
        worker,
        time_model,
        "TRAIN",
        holdout="time",
        num_coins=4,
        num_gap=7,
        warnings="did not converge",
    )
    model = int(job_row(client, time_model)["result_model_id"])
    insert_job(client, job_type="TEST", test_model_id=model, test_start="2024-02-15", test_end="2024-03-15")
    complete(
        worker,
        claim(worker)["id"],
        "TEST",
        num_positive=3,
        num_negative=197,
        tp=0,
        fn=3,
        fp=2,
        tn=195,
    )
    untested = ready_model(client, worker)
    words = _page(db, model, untested).words()
    overlap = client.execute("SELECT overlap_note AS n FROM ml_test_results WHERE model_id = %s", [model])
    (note,) = overlap.fetchall()
    assert f"{note['n']}: the metrics flatter." in words
    assert "Only 3 positive rows: each moves the share found among them by 0.33." in words
    assert "in its test no better than always saying negative: accuracy 0.9750 against 0.9850" in words
    assert "With only 4 coins, the last part of the period was held out" in words
    assert "7 rows before the held-out time were left out" in words
    assert "The fit warned: did not converge" in words
    assert "Whole coins were held out, drawn by the seed 42 from 30 coins" in words
    assert "No curve was recorded" in words
    assert f"#{untested} has not been tested." in words


@pytest.mark.parametrize(
    ("holdout", "said"),
    [
        ("coins", "Whole coins were held out"),
        ("time", "The last part of the period was held out: the same coins, later."),
        ("coins_and_time", "of coins that were not fitted: drawn by the seed 42 from 30 coins"),
    ],
)
def test_the_page_says_how_a_model_was_validated(
    db: Database, client: Connection, worker: Connection, holdout: str, said: str
) -> None:
    asked = {"train_split": holdout, "train_folds": 3, "train_weights": "uniqueness"}
    job_id = running(client, worker, **asked)
    complete(worker, job_id, "TRAIN", ml_folds=THREE, holdout=holdout, num_gap=7, mean_uniqueness="0.25")
    words = _page(db, job_row(client, job_id)["result_model_id"]).words()
    assert said in words
    assert (
        "Fitted anew on all rows before each: in 3 later periods F1 was 0.50 to 0.80, ROC AUC 0.71 to 0.90."
    ) in words
    gap = "are in neither part" if holdout == "coins_and_time" else "before the held-out time were left out"
    assert f"7 rows {gap}" in words
    assert "their mean uniqueness is 0.2500, so they are worth about 200 independent rows, and a row" in words


def test_the_page_says_what_is_predicted_and_which_rows_have_no_label(
    db: Database, client: Connection, worker: Connection
) -> None:
    label: dict[str, Any] = {
        "train_label": "highest_change",
        "train_target_var": "price_high",
        "train_operator": ">=",
        "train_value": 30,
        "train_future_minutes": 10,
        "train_base_var": "price_close",
    }
    said = {}
    for uncovered in ("leave_out", "negative"):
        job_id = running_job(client, worker, train_uncovered=uncovered, **label)
        complete(worker, job_id, "TRAIN", num_unlabelled=50, num_without_base=5, num_uncovered=1200)
        said[uncovered] = _page(db, job_row(client, job_id)["result_model_id"]).words()
        assert "within 10 min, price_high rises >= 30 % over price_close" in said[uncovered]
        assert "label highest_change" in said[uncovered]
        assert "50 rows without a label were left out." in said[uncovered]
        assert "5 rows have nothing to change from: price_close is NULL, zero or negative." in said[uncovered]
        assert "1,200 rows are of coins that stop: none has a row 10 to 20 minutes later." in said[uncovered]
    assert "They were left out." in said["leave_out"]
    assert "They count as negative, unless it had happened by then" in said["negative"]


def test_verdicts_are_those_of_comparisons_among_the_given_models(
    db: Database, client: Connection, worker: Connection
) -> None:
    a, b, c = (ready_model(client, worker, train_model_name=name) for name in ("ann", "ben", "cat"))
    for pair in ((a, b), (a, c)):
        insert_job(
            client,
            job_type="COMPARE",
            compare_model_a_id=pair[0],
            compare_model_b_id=pair[1],
            **COMPARE_PERIOD,
        )
        complete(worker, claim(worker)["id"], "COMPARE")
    words = _page(db, a, b).words()
    assert f"No clear winner comparison 1 no clear winner: F1 0.8000 of model {a} is 0.1333 higher" in words
    assert "it is older than this database" in words
    assert "cat" not in words
    assert "None of these models has been compared" in _page(db, b, c).words()


def test_a_winner_is_shown_with_its_verdict_and_the_intervals_of_both(
    db: Database, client: Connection, worker: Connection
) -> None:
    a, b = (ready_model(client, worker, train_model_name=name) for name in ("ann", "ben"))
    sides = {"compare_model_a_id": a, "compare_model_b_id": b}
    insert_job(client, job_type="COMPARE", **sides, **COMPARE_PERIOD)
    complete(
        worker,
        claim(worker)["id"],
        "COMPARE",
        f1_difference_lower=0.01,
        f1_difference_upper=0.26,
        num_blocks=48,
        block_seconds=3600,
        ml_intervals=[interval("f1", 0.8, 0.71, 0.86, side="a")],
    )
    words = _page(db, a, b).words()
    assert f"ann wins comparison 1 model {a} wins: F1 0.8000 of model {a} is 0.1333 higher than" in words
    assert "(0.0100 to 0.2600 at 95%, 48 blocks of 1 hour); shown of these two fitted models" in words
    assert f"#{a} 0.8000 0.7100 to 0.8600 0.9000" in words


def test_the_page_shows_intervals_and_what_they_rest_on(
    db: Database, client: Connection, worker: Connection
) -> None:
    words = _page(db, _tested_model(client, worker, "one", ml_intervals=INTERVALS)).words()
    assert "0.9000 0.8500 to 0.9500 0.8000 0.7000 to 0.9000" in words
    assert (
        "The intervals rest on 48 blocks of 1 hour; these rows tell as much as 62 independent ones." in words
    )
    few = [row | {"lower": None, "upper": None, "reason": "7 blocks of 1 hour"} for row in INTERVALS]
    words = _page(db, _tested_model(client, worker, "two", ml_intervals=few)).words()
    assert "No interval: 7 blocks of 1 hour." in words


def test_models_that_predict_different_things_are_not_to_be_compared(
    db: Database, client: Connection, worker: Connection
) -> None:
    models = [ready_model(client, worker, train_value=value) for value in (50000, 60000)]
    assert "cannot be compared with each other" in _page(db, *models).words()
    assert "cannot be compared with each other" not in _page(db, models[0]).words()


def test_what_users_wrote_is_shown_and_never_obeyed(
    db: Database, client: Connection, worker: Connection
) -> None:
    model = _tested_model(client, worker, NAME)
    client.execute("UPDATE ml_models SET description = %s WHERE id = %s", ["<img src=x onerror=f()>", model])
    page = _page(db, model)
    assert NAME in page.text
    assert "<img src=x onerror=f()>" in page.text
    assert not [
        tag for tag, _ in page.elements if tag in ("script", "img", "iframe", "link", "object", "base")
    ]
    assert not [name for _, given in page.elements for name in given if name.startswith("on")]


def test_the_page_needs_nothing_from_outside(db: Database, client: Connection, worker: Connection) -> None:
    html = report.render(db.login("rosa"), [_tested_model(client, worker, "one")])
    page = Page(html)
    assert not [given for _, given in page.elements if given.keys() & {"src", "href", "srcset", "xlink:href"}]
    assert not re.search(r"https?:|//\w|url\(|@import", html)
    policies = [given["content"] for tag, given in page.elements if "http-equiv" in given]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_light_dark_and_print_have_every_colour(db: Database, client: Connection, worker: Connection) -> None:
    style = _page(db, ready_model(client, worker)).style
    light, dark, paper = re.split(r"@media \(prefers-color-scheme: dark\)|@media print", style)[:3]
    colours = set(re.findall(r"(--[\w-]+):", light))
    assert {"--page", "--text", "--c0", "--c5"} <= colours
    for scheme in (dark, paper):
        assert set(re.findall(r"(--[\w-]+):", scheme)) - {"--c"} == colours
    assert set(re.findall(r"var\((--[\w-]+)\)", style)) - {"--c", "--share"} <= colours


def test_the_answers_of_each_day_are_shown_by_probability(
    db: Database, client: Connection, worker: Connection
) -> None:
    model_id = _tested_model(client, worker, "one")
    assert "Answers" not in _page(db, model_id).words()
    insert_job(client, job_type="SCORE", score_model_id=model_id, **SCORE_PERIOD)
    complete(worker, claim(worker)["id"], "SCORE")
    words = _page(db, model_id).words()
    assert "2024-03-01 50% 50% 2 0.0%" in words  # 0.25 and 0.5
    assert "2024-03-02 100% 1 100.0%" in words


def test_every_chart_has_a_name_for_those_who_cannot_see_it(
    db: Database, client: Connection, worker: Connection
) -> None:
    html = report.render(db.login("rosa"), [_tested_model(client, worker, "one")])
    charts = re.findall(r'<svg[^>]*role="img"[^>]*>\s*<title>[^<]+</title>\s*<desc>[^<]+</desc>', html)
    assert len(charts) == 8 == html.count('role="img"')


def test_a_model_that_cannot_be_reported_on_is_one_clear_message(
    db: Database, client: Connection, worker: Connection
) -> None:
    deleted = ready_model(client, worker, train_model_name="gone")
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [deleted])
    training = running_job(client, worker, train_model_name="young")
    (young,) = client.execute("SELECT id FROM ml_models WHERE train_job_id = %s", [training]).fetchall()
    for model, said in (
        (77, "model 77 does not exist"),
        (deleted, f'model {deleted} ("gone") was deleted on 20'),
        (young["id"], f'model {young["id"]} ("young") is TRAINING, not READY; job {training} says why'),
    ):
        with pytest.raises(report.ReportError) as caught:
            report.render(db.login("rosa"), [model])
        assert said in str(caught.value)


def test_the_command_names_the_file_that_it_wrote(
    db: Database, client: Connection, worker: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ready_model(client, worker)
    monkeypatch.chdir(tmp_path)
    source = str(Path(report.__file__).parents[2])
    said = ml_worker("report", str(model), str(model), DATABASE_URL=db.login("rosa"), PYTHONPATH=source)
    assert said.stdout == f"report_{model}.html\n", said.stderr
    assert (tmp_path / f"report_{model}.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    named = ml_worker(
        "report", str(model), "--html", "a.html", DATABASE_URL=db.login("rosa"), PYTHONPATH=source
    )
    assert named.stdout == "a.html\n"
    missing = ml_worker("report", "77", DATABASE_URL=db.login("rosa"), PYTHONPATH=source)
    assert missing.returncode == 1
    assert missing.stderr.startswith("Error: model 77 does not exist")


def test_a_login_that_may_not_read_is_told_what_to_grant(db: Database, owner: Connection) -> None:
    owner.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
    try:
        said = ml_worker("report", "1", DATABASE_URL=db.login("stranger"))
    finally:
        owner.execute("DROP ROLE stranger")
    assert said.returncode == 1
    assert 'GRANT ml_reader TO "stranger"' in said.stderr
