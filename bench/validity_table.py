"""The tables of docs/validity.md, made of bench/results/validity.json: python bench/validity_table.py NAME."""

import json
import sys
from pathlib import Path

from divfast.planning import LEXICAL_DEFAULT, SEMANTIC_DEFAULT
from divfast.registry import parse_spec
from divfast.throughput.results import markdown

RESULTS = Path(__file__).parent / "results" / "validity.json"
PEOPLE = "people"
# What the file calls the authors' metrics, and the paper.
AUTHORS = {
    "authors:SentBert": "sent-BERT, by the authors",
    "authors:BertScore": "BERTScore, by the authors",
    "authors:AveragedCosineSimilarity": "cos-sim of n-grams, by the authors",
    "authors:AveragedDistinctNgrams": "distinct-n, by the authors",
}
TASKS = {"prompt": "prompt", "resp": "response", "story": "story"}
DEFAULT = (*LEXICAL_DEFAULT, *SEMANTIC_DEFAULT)
COLUMNS = {
    "temperature": ("dec_test", "spearman"),
    "people, decTest": ("dec_test_rated", "people"),
    "conTest": ("con_test", "oca"),
    "McDiv": ("mcdiv", "oca"),
    "nuggets": ("mcdiv_nuggets", "oca"),
    "people, nuggets": ("mcdiv_nuggets_rated", "people"),
    "NoveltyBench": ("novelty", "agreement"),
    "length": ("mcdiv", "length"),
    "half of K": ("dec_test_rated", "half"),
}
BESIDE = {
    ("dec_test", "spearman"): "temperature",
    ("con_test", "oca"): "conTest",
    ("mcdiv", "oca"): "McDiv",
    ("mcdiv_nuggets", "oca"): "nuggets",
    ("mcdiv_nuggets_rated", "people"): "people, nuggets",
    ("novelty", "agreement"): "NoveltyBench",
}


def load():
    """Return the results, and their rows by metric, set and task."""
    found = json.loads(RESULTS.read_text("utf-8"))
    return found, {(one["metric"], one["set"], one["task"]): one for one in found["rows"]}


def names(found):
    """Return the metrics in the order of the tables: people, the authors', vectors, words; the best on McDiv first."""
    rows = {one["metric"]: one for one in found["rows"] if one["set"] == "mcdiv" and one["task"] == "all"}

    def best_first(some):
        return sorted(some, key=lambda name: -rows[name]["oca"])

    ours = found["correlations"]["metrics"]
    views = {name: parse_spec(name).metric.view for name in ours}
    vectors = best_first(name for name in ours if views[name] == "vectors")
    return [PEOPLE, *best_first(AUTHORS), *vectors, *best_first(set(ours) - set(vectors))]


def label(metric):
    """Return the name of a row; those of the default set are bold."""
    if metric == PEOPLE or metric in AUTHORS:
        return AUTHORS.get(metric, "people's own rating")
    return f"**`{metric}`**" if metric in DEFAULT else f"`{metric}`"


def number(row, key, digits=3, *, interval=False):
    """Return a value, with half the width of its interval where it is asked for; nothing where it is undefined."""
    if row is None or row.get(key) is None:
        return ""
    ends = row.get(f"{key}_interval")
    width = f" ±{(ends[1] - ends[0]) / 2:.{digits}f}" if interval and ends else ""
    return f"{row[key]:.{digits}f}{width}".replace("-", "−")


def validity():
    """Return the main table: a row a metric, means over the tasks."""
    found, rows = load()
    lines = []
    for metric in names(found):
        cells = []
        for name, key in COLUMNS.values():
            wanted = None if metric == PEOPLE and key == "people" else rows.get((metric, name, "all"))
            cells.append(number(wanted, key, 2 if key in ("length", "half") else 3, interval=key == "oca"))
        lines.append((label(metric), *cells))
    return markdown(("metric", *COLUMNS), lines)


def tasks():
    """Return the accuracy by set and task."""
    found, rows = load()
    sets = {"con_test": "conTest", "mcdiv": "McDiv", "mcdiv_nuggets": "nuggets"}
    headers = [f"{name}, {TASKS[task]}" for name in sets.values() for task in TASKS]
    lines = [
        (label(metric), *(number(rows.get((metric, name, task)), "oca") for name in sets for task in TASKS))
        for metric in names(found)
    ]
    return markdown(("metric", *headers), lines)


def correlations_by_task():
    """Return correlations with the temperature and with people, by task."""
    found, rows = load()
    wanted = {
        "temperature": ("dec_test", "spearman"),
        "people, decTest": ("dec_test_rated", "people"),
        "people, conTest": ("con_test", "people"),
        "people, nuggets": ("mcdiv_nuggets_rated", "people"),
    }
    headers = [f"{name}, {TASKS[task]}" for name in wanted for task in TASKS]
    lines = [
        (
            label(metric),
            *(number(rows.get((metric, name, task)), key) for name, key in wanted.values() for task in TASKS),
        )
        for metric in names(found)
        if metric != PEOPLE
    ]
    return markdown(("metric", *headers), lines)


def tokens():
    """Return what becomes of metrics that split at white space, with punctuation, where words are taken instead."""
    found, rows = load()
    wanted = {
        name: COLUMNS[name] for name in ("temperature", "McDiv", "nuggets", "people, nuggets", "NoveltyBench")
    }
    lines = []
    for metric in names(found):
        if (metric + ", words", "mcdiv", "all") in rows:
            pairs = [
                [number(rows.get((one, name, "all")), key) for one in (metric, metric + ", words")]
                for name, key in wanted.values()
            ]
            lines.append((label(metric), *(" → ".join(pair) for pair in pairs)))
    return markdown(("metric", *wanted), lines)


def redundancy():
    """Return how alike the metrics of the default set are, and some others that might be in it."""
    found, _ = load()
    every, matrix = found["correlations"]["metrics"], found["correlations"]["matrix"]
    wanted = list(
        dict.fromkeys(
            [
                *DEFAULT,
                "distinct:n=3",
                "jaccard",
                "rouge_l",
                "chrf",
                "self_bleu",
                "compression",
                "chamfer",
                "length",
            ]
        )
    )
    lines = [
        (
            label(one),
            *(f"{matrix[every.index(one)][every.index(other)]:.2f}".replace("-", "−") for other in wanted),
        )
        for one in wanted
    ]
    return markdown(("", *(f"`{name}`" for name in wanted)), lines)


def differences():
    """Return how much better one metric is than another."""
    found, _ = load()
    pairs = dict.fromkeys((one["metric"], one["than"]) for one in found["differences"])
    of = {(one["metric"], one["than"], one["set"], one["of"]): one for one in found["differences"]}
    lines = []
    for metric, than in pairs:
        cells = []
        for wanted in BESIDE:
            one = of.get((metric, than, *wanted))
            if one is None:
                cells.append("")
                continue
            low, high = one["interval"]
            text = f"{one['difference']:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−")
            cells.append(f"**{text}**" if low > 0 or high < 0 else text)
        lines.append((f"`{metric}` less `{than}`", *cells))
    return markdown(("", *BESIDE.values()), lines)


def left_out():
    """Return which metrics have no row, and why."""
    found, _ = load()
    reasons = {}
    for metric, reason in found["left_out"].items():
        reasons.setdefault(reason, []).append(f"`{metric}`")
    return "\n".join(f"- {', '.join(some)}: {reason}." for reason, some in reasons.items())


TABLES = {
    "validity": validity,
    "tasks": tasks,
    "correlations": correlations_by_task,
    "tokens": tokens,
    "differences": differences,
    "redundancy": redundancy,
    "left out": left_out,
}

if __name__ == "__main__":
    print(TABLES[sys.argv[1]]())
