"""The report on some models: one HTML page, drawn from the views alone, that needs nothing else.

The template has all the markup and escapes whatever it is given; this module puts rows into the order in
which they are shown, and says in words what they do not.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from worker.commands.text import plain
from worker.database.connection import name_and_host
from worker.database.deadlines import deadline
from worker.database.reading import connect_reader, fetch_report

MAX_MODELS = 12  # more lines than these nobody can tell apart
FEATURES_SHOWN = 15
_UNDEFINED = "\N{EN DASH}"
FEW_ROWS = 100  # of a class: below, one row moves a metric by more than 0.01
DEADLINE_SECONDS = 60.0
HALF = 0.5  # the threshold of a model that has none of its own

Row = dict[str, Any]
_METRICS = ("f1", "precision", "recall", "accuracy", "roc_auc", "average_precision")

_SOURCES = {
    "test": (
        "Latest test",
        "Rows of a test period; of several tests, the latest outside the training period.",
    ),
    "training": (
        "Held out in training",
        "Rows of the training period that the model was not fitted on.",
    ),
}
_CHARTS = (
    {
        "topic": "roc",
        "title": "ROC curve",
        "says": "Up and to the left is better; the grey diagonal is chance.",
        "x": "false positive rate",
        "y": "true positive rate (recall)",
    },
    {
        "topic": "pr",
        "title": "Precision and recall",
        "says": "Up and to the right is better; dotted: the share of positive rows, which chance gives.",
        "x": "recall",
        "y": "precision",
    },
    {
        "topic": "calibration",
        "title": "Calibration",
        "says": "On the grey diagonal, rows that were given 30% are positive in 30% of cases. Ten bins.",
        "x": "mean predicted probability",
        "y": "share of positive rows",
    },
)


class ReportError(Exception):
    """A model cannot be reported on; the message says why."""


def render(url: str, model_ids: Sequence[int]) -> str:
    """Make the page on these models, in this order.

    Raises:
        ReportError: a model does not exist, is deleted or not READY, or they are too many.
        UnsuitableDatabaseError: the database has not the schema, or the login may not read.
    """
    if len(model_ids) > MAX_MODELS:
        raise ReportError(f"{len(model_ids)} models are too many for one page; at most {MAX_MODELS} fit")
    with (
        connect_reader(url) as connection,
        deadline(connection, DEADLINE_SECONDS),
    ):
        rows = fetch_report(connection, model_ids)
    return draw(model_ids, rows, name_and_host(url)[0], datetime.now(UTC))


def draw(model_ids: Sequence[int], rows: Mapping[str, Sequence[Row]], name: str, now: datetime) -> str:
    """Draw the page from rows as :func:`worker.database.reading.fetch_report` gives them."""
    models = _in_order(model_ids, rows["models"])
    environment = Environment(
        loader=PackageLoader("worker.commands", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "metric": _metric, "moment": _moment, "share": _share}
    return environment.get_template("report.html.j2").render(
        models=models,
        warnings=_warnings(models, rows["warnings"]),
        verdicts=list(_verdicts(models, rows["measurements"])),
        sections=list(_sections(models, rows)),
        comparisons=[
            comparison | {"intervals": _intervals(rows["intervals"], comparison["job_id"])}
            for comparison in rows["comparisons"]
        ],
        answers=list(_answers(models, rows["answers"])),
        places={model["model_id"]: place for place, model in enumerate(models)},
        targets=sorted({model["target"] for model in models}),
        database=name,
        now=now,
    )


def _in_order(model_ids: Sequence[int], found: Sequence[Row]) -> list[Row]:
    """The models in the order asked for."""
    by_id = {model["model_id"]: model for model in found}
    for model_id in model_ids:
        model = by_id.get(model_id)
        if model is None:
            raise ReportError(
                f"model {model_id} does not exist; the view ml_leaderboard lists those that there are"
            )
        said = f'model {model_id} ("{plain(model["model_name"])}")'
        if model["is_deleted"]:
            raise ReportError(f"{said} was deleted on {_moment(model['deleted_at'])}")
        if model["status"] != "READY":
            raise ReportError(f"{said} is {model['status']}, not READY; job {model['job_id']} says why")
    return [by_id[model_id] for model_id in model_ids]


def _warnings(models: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """What speaks against the figures, the severest first."""
    places = {model["model_id"]: place for place, model in enumerate(models)}
    order = ("severe", "warning", "info")
    ranked = sorted(
        rows, key=lambda row: (order.index(row["severity"]), places[row["model_id"]], row["job_id"])
    )
    return [row | {"place": places[row["model_id"]]} for row in ranked]


def _verdicts(models: Sequence[Row], measurements: Sequence[Row]) -> Iterator[Row]:
    """Whether each model beats its best baseline: in its test, or if it has none on held-out rows."""
    measured = {(row["model_id"], row["source"]): row for row in measurements}
    for place, model in enumerate(models):
        row = measured.get((model["model_id"], "test")) or measured.get((model["model_id"], "training"))
        if row is not None:
            yield {
                "place": place,
                "source": row["source"],
                "said": row["verdict"],
                "overlap_note": row["overlap_note"],
            }


def _sections(models: Sequence[Row], rows: Mapping[str, Sequence[Row]]) -> Iterator[dict[str, Any]]:
    """What was measured in tests, then what was in training; each with its charts and notes."""
    for source, (title, explanation) in _SOURCES.items():
        measured = {row["model_id"]: row for row in rows["measurements"] if row["source"] == source}
        lines = [
            measured[model["model_id"]]
            | {"place": place, "model": model}
            | _of_model(rows["intervals"], measured[model["model_id"]]["job_id"])
            | _trivial(measured[model["model_id"]])
            | {
                "baselines": [
                    row for row in rows["baselines"] if row["job_id"] == measured[model["model_id"]]["job_id"]
                ]
            }
            for place, model in enumerate(models)
            if model["model_id"] in measured
        ]
        if not lines:
            continue
        of_source = {
            topic: {
                line["place"]: [
                    row
                    for row in rows[topic]
                    if row["source"] == source and row["model_id"] == line["model_id"]
                ]
                for line in lines
            }
            for topic in ("roc", "pr", "calibration", "sweep", "importances")
        }
        same_rows = (
            len(
                {
                    (row["period_start"], row["period_end"], row["num_samples"], row["num_positive"])
                    for row in lines
                }
            )
            == 1
        )
        yield {
            "source": source,
            "title": title,
            "explanation": explanation,
            "lines": lines,
            "charts": [
                chart
                | {"points": of_source[chart["topic"]], "has_points": any(of_source[chart["topic"]].values())}
                for chart in _CHARTS
            ],
            "same_rows": same_rows,
            "importances": _importances(of_source["importances"]),
            "notes": [
                {"place": line["place"], "model": line["model"], "notes": notes}
                for line in lines
                if (notes := [*_notes(line, of_source), *_seen(line, rows["seen"])])
            ],
            "missing": [model for model in models if model["model_id"] not in measured],
        }


def _intervals(rows: Sequence[Row], job_id: int) -> defaultdict[tuple[str, str], Row | None]:
    """Intervals of a job's result by side and metric; None where there is none."""
    return defaultdict(
        lambda: None,
        {
            (row["side"], row["metric"]): row
            for row in rows
            if row["job_id"] == job_id and row["lower"] is not None
        },
    )


def _of_model(rows: Sequence[Row], job_id: int) -> dict[str, Any]:
    """Intervals of a measurement by metric, and what they rest on: any of its rows, if it has some."""
    of_job = [row for row in rows if row["job_id"] == job_id]
    found = _intervals(rows, job_id)
    return {
        "intervals": {metric: found["model", metric] for metric in _METRICS},
        "interval": of_job[0] if of_job else None,
    }


def _answers(models: Sequence[Row], rows: Sequence[Row]) -> Iterator[Row]:
    """What SCORE jobs answered, by model: of each day the share of every bin, from the lowest."""
    for place, model in enumerate(models):
        days = [row for row in rows if row["model_id"] == model["model_id"]]
        if days:
            yield {
                "place": place,
                "model": model,
                "days": [day | {"shares": _shares(day)} for day in days],
            }


def _shares(day: Row) -> list[float]:
    """The share of each bin among the answers of a day, from the lowest."""
    counts = dict(zip(day["bins"], day["counts"], strict=True))
    return [counts.get(place, 0) / day["num_answers"] for place in range(1, 11)]


def _importances(of_models: Mapping[int, Sequence[Row]]) -> dict[str, Any]:
    """Features, the most important to any model first, each with its importance to each."""
    features: dict[str, dict[int, float]] = {}
    for place, rows in of_models.items():
        for row in rows:
            features.setdefault(row["feature"], {})[place] = float(row["importance"])
    ranked = sorted(features.items(), key=lambda item: -max(item[1].values()))
    most = max((max(values.values()) for _, values in ranked), default=0.0)
    return {
        "features": ranked[:FEATURES_SHOWN],
        "more": max(0, len(ranked) - FEATURES_SHOWN),
        "scale": next(scale for scale in (0.2, 0.4, 0.6, 0.8, 1.0) if most <= scale or scale == 1.0),
        "without": [place for place, rows in of_models.items() if not rows],
    }


def _notes(line: Row, of_source: Mapping[str, Mapping[int, Sequence[Row]]]) -> Iterator[str]:
    """What a reader of these numbers should know."""
    if line["overlap_note"]:
        yield f"{line['overlap_note']}: the metrics flatter."
    if line["source"] == "training":
        yield _holdout(line)
    if line["folds"]:
        yield f"Fitted anew on all rows before each: {line['folds']}."
    if line["num_gap"]:
        yield _gap(line)
    if line["mean_uniqueness"] is not None and line["mean_uniqueness"] < 1:
        worth = line["mean_uniqueness"] * line["num_fitted"]
        weighs = ", and a row weighs by it" if line["model"]["weights"] == "uniqueness" else ""
        yield (
            f"The labels of its rows overlap: their mean uniqueness is {line['mean_uniqueness']:.4f}, "
            f"so they are worth about {worth:,.0f} independent rows{weighs}."
        )
    yield from _left_out(line)
    yield from _few_rows(line)
    yield from _threshold(line)
    yield from _blocks(line)
    best = next(iter(of_source["sweep"][line["place"]]), None)
    if best is None:
        yield "No curve was recorded, so it is missing in the charts."
    elif line["f1_score"] is not None and best["f1_score"] - float(line["f1_score"]) >= 0.0001:
        yield (
            f"On these very rows F1 would be highest, {best['f1_score']:.4f}, at the threshold "
            f"{best['threshold']:.3g}; a threshold that they chose flatters."
        )
    if line["warnings"]:
        yield f"The fit warned: {line['warnings']}"


def _threshold(line: Row) -> Iterator[str]:
    """Where the model says yes, if not above 0.5, and what its metrics would be there."""
    if line["model_threshold"] != HALF:
        at_half = ", ".join(
            f"{name} {_metric(line[f'{column}_at_half'])}"
            for name, column in (
                ("accuracy", "accuracy"),
                ("precision", "precision"),
                ("recall", "recall"),
                ("F1", "f1"),
            )
        )
        rule = line["model"]["threshold_rule"]
        yield f"The model says yes above {line['model_threshold']:.3g} ({rule}). At 0.5: {at_half}."


def _holdout(line: Row) -> str:
    coins = f"{line['num_coins']:,} coins"
    if line["holdout"] == "coins":
        seed = line["model"]["random_state"]
        return f"Whole coins were held out, drawn by the seed {seed} from {coins}: no coin is on both sides."
    if line["holdout"] == "coins_and_time":
        seed = line["model"]["random_state"]
        return (
            "The last part of the period was held out, of coins that were not fitted: drawn by the seed "
            f"{seed} from {coins}, or new by then."
        )
    if line["model"]["split"] == "time":
        return "The last part of the period was held out: the same coins, later."
    return f"With only {coins}, the last part of the period was held out: the same coins, later."


def _gap(line: Row) -> str:
    if line["holdout"] == "coins_and_time":
        return (
            f"{line['num_gap']:,} rows are in neither part: earlier ones of held-out coins, later ones of "
            "fitted coins, and those whose label lies in the held-out time."
        )
    return f"{line['num_gap']:,} rows before the held-out time were left out: their label lies in it."


def _left_out(line: Row) -> Iterator[str]:
    """Which rows have no label, and which windows nobody can see to their end."""
    model = line["model"]
    if line["num_unlabelled"]:
        yield f"{line['num_unlabelled']:,} rows without a label were left out."
    if line["num_without_base"]:
        yield (
            f"{line['num_without_base']:,} rows have nothing to change from: "
            f"{model['base_variable']} is NULL, zero or negative."
        )
    if line["num_uncovered"]:
        minutes = model["future_minutes"]
        yield (
            f"{line['num_uncovered']:,} rows are of coins that stop: none has a row {minutes} to "
            f"{2 * minutes} minutes later. "
            + (
                "They count as negative, unless it had happened by then; in the last "
                f"{2 * minutes} minutes of the period they were left out."
                if model["uncovered"] == "negative"
                else "They were left out."
            )
        )


def _seen(line: Row, rows: Sequence[Row]) -> Iterator[str]:
    """The measurement apart for coins that the model was fitted on and for others."""
    for row in rows:
        if row["job_id"] == line["job_id"]:
            coins = "coins that it was fitted on" if row["is_seen"] else "other coins"
            yield (
                f"{row['num_samples']:,} of {line['num_samples']:,} rows are of {row['num_coins']:,} "
                f"{coins}: "
                f"F1 {_metric(row['f1_score'])}, ROC AUC {_metric(row['roc_auc'])}."
            )


def _blocks(line: Row) -> Iterator[str]:
    """What the intervals rest on, or why there are none."""
    row = line["interval"]
    if row is None:
        return
    if row["lower"] is None:
        yield f"No interval: {row['reason']}."
        return
    hours = row["block_seconds"] // 3600
    said = (
        f"The intervals rest on {row['num_blocks']:,} blocks of {hours} {'hour' if hours == 1 else 'hours'}"
    )
    if row["effective_rows"] is None:
        yield f"{said}."
    else:
        yield f"{said}; these rows tell as much as {max(row['effective_rows'], 1):,.0f} independent ones."


def _few_rows(line: Row) -> Iterator[str]:
    for what in ("positive", "negative"):
        number = line[f"num_{what}"]
        if number == 0:
            yield f"No {what} row: some metrics are undefined."
        elif number < FEW_ROWS:
            rows = "row" if number == 1 else "rows"
            yield f"Only {number} {what} {rows}: each moves the share found among them by {1 / number:.2f}."


def _trivial(row: Row) -> dict[str, Any]:
    """What always answering the more frequent class would give on the same rows.

    It is shown where an older worker told nothing of baselines.
    """
    samples, positive = row["num_samples"], row["num_positive"]
    share = positive / samples if samples else None
    says_positive = positive > row["num_negative"]
    found = float(says_positive) if positive else None
    return {
        "positive_share": share,
        "baseline": {
            "answer": "positive" if says_positive else "negative",
            "accuracy": None if share is None else max(share, 1 - share),
            "precision": share if says_positive else None,
            "recall": found,
            "roc_auc": 0.5 if positive and row["num_negative"] else None,
            "average_precision": share if positive and row["num_negative"] else None,
            "f1": None
            if share is None or found is None
            else 2 * share / (1 + share)
            if says_positive
            else 0.0,
        },
    }


def _printable(value: Any) -> Any:
    """Text of users without control codes, nor marks that turn the direction of what follows."""
    if type(value) is not str:  # not the template's own markup, which is a kind of str
        return value
    return plain(value, kept="\n\t")


def _number(value: float) -> str:
    return f"{value:,}"


def _metric(value: Any) -> str:
    """As the database shows it; a dash where it is undefined."""
    return _UNDEFINED if value is None else f"{value:.4f}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else _UNDEFINED


def _moment(value: datetime) -> str:
    moment = value.astimezone(UTC)
    return (
        f"{moment:%Y-%m-%d}"
        if (moment.hour, moment.minute, moment.second) == (0, 0, 0)
        else f"{moment:%Y-%m-%d %H:%M}"
    )
