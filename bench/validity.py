"""Which metric to believe: every metric of texts beside what people meant, on the sets of Tevet and Berant.

    python bench/validity.py [--data FOLDER] [--json FILE]      # the folder with mcdiv and noveltybench

Each set is some responses to one context, with a label: the temperature of a sampler (decTest), or whether its authors
were asked for the same content or for different content (conTest, McDiv, McDiv_nuggets). For some, people also said how
diverse they are. A metric is worth as much as its values follow these labels: Spearman's correlation, and the accuracy
of the best single threshold between low and high (OCA).

These sets are short and by people. So metrics are also held against the classes that NoveltyBench puts samples of
models into: of two ways to sample the same prompt, whether that with more classes has the higher value.

References
----------
Tevet and Berant (2021), "Evaluating the Evaluation of Diversity in Natural Language Generation", arXiv 2004.02990.
Zhang et al. (2025), "NoveltyBench: Evaluating Language Models for Humanlike Diversity", arXiv 2504.05228.
"""

import argparse
import gzip
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from validity_statistics import Ranks, agreements, correlation, draws, oca, spearman

import divfast
from divfast.output import write_whole
from divfast.registry import all_metrics, parse_spec

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results" / "validity.json"
TASKS = ("prompt", "resp", "story")
FILE = re.compile(r"(.+?)_(?:\d+|all|no|with)_.*?(prompt|resp|story)_gen__")
PEOPLE = "people"
AUTHORS = "authors:"
NOVELTY = "novelty"
# Of metrics that split at white space by default, for a fair comparison with those that do not.
WORDS = ", words"
# Prompts whose samples are of up to so many words on average are short.
SHORT = 30
# Whose place in the default set is asked for, beside what could do instead.
COMPARED = [
    ("distinct:n=3", "distinct:n=2"),
    ("distinct:n=3", "ead"),
    ("distinct:n=2", "ead"),
    ("ead, words", "ead"),
    ("jaccard", "ead, words"),
    ("jaccard", "distinct:n=1, words"),
    ("vendi", "cosine"),
    ("chamfer", "vendi"),
    ("cosine", "ead"),
]
REPLICATES = 1000
SEED = 0

# Parameters worth a row of their own; every other metric stands with its defaults.
VARIANTS = {
    "chrf": ["chrf", "chrf:word_order=2"],
    "compression": ["compression", "compression:codec=xz"],
    "dcscore": ["dcscore", "dcscore:tau=0.1"],
    "distinct": ["distinct:n=1", "distinct:n=2", "distinct:n=3"],
    "edit": ["edit", "edit:unit=words"],
    "entropy": ["entropy", "entropy:n=2", "entropy:normalized=true"],
    "jaccard": ["jaccard", "jaccard:n=2"],
    "length": ["length", "length:statistic=std"],
    "nearest": ["nearest", "nearest:q=1"],
    "rke": ["rke", "rke:kernel=rbf"],
    "self_bleu": ["self_bleu", "self_bleu:n=2"],
    "self_repetition": ["self_repetition", "self_repetition:n=2"],
    "spread": ["spread", "spread:ridge=0.1"],
    "type_token": ["type_token", "type_token:measure=mtld"],
    "vendi": ["vendi:q=0.5", "vendi", "vendi:q=2", "vendi:q=inf", "vendi:kernel=rbf"],
}
SCORED = ("text", "tokens", "vectors")
# Why a metric has no row, by what it eats.
LEFT_OUT = {
    "judgments": "needs a judge of entailment, and none is packaged",
    "programs": "is for programs",
    "partition": "needs classes of the samples",
    "rewards": "needs rewards",
    "answers": "is about right and wrong, not about diversity",
    "prompted vectors": "is vendi where all samples have one prompt",
}


@dataclass
class Sets:
    """The sets of one file: of one of the tests, for one task.

    Attributes
    ----------
    name, task : str
        Such as ``mcdiv`` and ``story``.
    outputs : list of list of str
        The responses of each set.
    label, people : numpy.ndarray or None
        ``float64[n]``: temperature, or 1 for high and 0 for low diversity; mean of what people said.
    contexts : numpy.ndarray
        ``int64[n]``: which context a set is for. Two sets of one are drawn together by the bootstrap.
    authors : dict of str to numpy.ndarray
        Values of other metrics that the file brings.
    """

    name: str
    task: str
    outputs: list
    label: np.ndarray
    people: np.ndarray | None
    contexts: np.ndarray
    authors: dict = field(default_factory=dict)

    @property
    def is_binary(self):
        """Whether the label is high or low."""
        return bool(np.isin(self.label, (0, 1)).all())


def read_records(path):
    """Return the records of a file; texts may hold line separators other than a newline."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file.read().split("\n") if line]


def read_sets(folder):
    """Return the sets of every file of a folder, or stop where there are none."""
    out = []
    for path in sorted(Path(folder).glob("*_gen__*.jsonl.gz")):
        records = read_records(path)
        name, task = re.match(FILE, path.name).groups()
        # The smaller file of the same test is the one that people have rated.
        rated = all("human_mean" in record for record in records)
        if rated and name != "con_test":
            name += "_rated"
        names = sorted(set.intersection(*(set(record.get("ref_metrics", {})) for record in records)))
        of = {key: np.array([record["ref_metrics"][key] for record in records], float) for key in names}
        label = np.array([record["label_value"] for record in records], float)
        people = np.array([record["human_mean"] for record in records], float) if rated else None
        _, contexts = np.unique([record["prompt"] for record in records], return_inverse=True)
        out.append(Sets(name, task, [record["outputs"] for record in records], label, people, contexts, of))
    if not out:
        raise SystemExit(
            f"validity: there are no files *_gen__*.jsonl.gz in {folder}; name their folder with --data"
        )
    return out


def specs(encoder, judge=None):
    """Return the specs to score, and of each metric that is left out why."""
    wanted, left_out = [], {}
    for metric in all_metrics():
        if metric.view == "vectors" and encoder is None:
            left_out[metric.name] = "needs an encoder"
        elif metric.view in SCORED or (metric.view == "judgments" and judge):
            wanted += VARIANTS.get(metric.name, [metric.name])
        else:
            left_out[metric.name] = LEFT_OUT[metric.view]
    return wanted, left_out


def sign(spec):
    """Return -1 for a metric that is lower where samples are more diverse, else 1."""
    return -1.0 if parse_spec(spec).metric.higher == "less diverse" else 1.0


def evaluate(values, sets, lengths, weights):
    """Return what the values of a metric are worth on some sets: arrays over replicates, the estimate first."""
    kept = ~np.isnan(values)
    if np.count_nonzero(kept) < 2:
        return {}
    weights, x = weights[:, kept], Ranks(values[kept]).mid(weights[:, kept])
    label, length = (Ranks(column[kept]).mid(weights) for column in (sets.label, lengths))
    with_label, with_length = correlation(x, label, weights), correlation(x, length, weights)
    of_label = correlation(length, label, weights)
    out = {"spearman": with_label}
    if sets.is_binary:
        out["oca"] = oca(values[kept], sets.label[kept] > 0.5, weights)
    if sets.people is not None:
        out["people"] = correlation(x, Ranks(sets.people[kept]).mid(weights), weights)
    # How far it goes with length among sets of the same label.
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = np.sqrt((1 - with_label**2) * (1 - of_label**2))
        out["length"] = (with_length - with_label * of_label) / rest
    return out


def row(metric, name, task, n, undefined, found, **more):
    """Return a row of the results: estimates, and the interval of each."""
    out = {"metric": metric, "set": name, "task": task, "n": n, "undefined": undefined}
    for key in ("spearman", "oca", "people", "length", "agreement"):
        if key in found:
            drawn = found[key][1:][~np.isnan(found[key][1:])]
            out[key] = rounded(found[key][0])
            out[f"{key}_interval"] = (
                [rounded(end) for end in np.quantile(drawn, [0.025, 0.975])] if len(drawn) else None
            )
    return out | more


def rounded(value):
    """Return four decimals of a number; None where it is undefined."""
    return round(float(value), 4) if np.isfinite(value) else None


def score_columns(outputs, wanted, half, **options):
    """Return values[metric], higher where samples are more diverse, the same on `half` of them, and the signatures."""
    full, halved, signatures = {}, {}, []
    split = [spec for spec in wanted if parse_spec(spec).metric.tokenizers.get("default", "words") != "words"]
    for some, suffix, more in ((wanted, "", options), (split, WORDS, {"tokenizer": "words"})):
        if not some:
            continue
        report = divfast.score(outputs, some, scopes=["prompt"], at_k=half, **more)
        signatures += [str(report[spec].signature) for spec in some]
        # What differs in its last digits alone is tied.
        full |= {spec + suffix: (sign(spec) * report[spec].values).round(9) for spec in some}
        if half:
            halved |= {spec + suffix: sign(spec) * report[f"{spec}@k={half[0]}"].values for spec in some}
    return full, halved, signatures


def shift(full, halved):
    """Return how far the mean moves with half the samples, in standard deviations over sets."""
    both = ~(np.isnan(full) | np.isnan(halved))
    spread = full[both].std(ddof=1) if np.count_nonzero(both) > 1 else 0.0
    return (halved[both].mean() - full[both].mean()) / spread if spread > 0 else np.nan


def measure(folder, *, encoder="minilm", judge=None, replicates=REPLICATES, told=lambda words: None):
    """Return the results: rows by metric, set and task, why others have none, correlations of metrics."""
    wanted, left_out = specs(encoder, judge)
    everything, pooled, between, encoders = [], {}, [], set()
    for sets in read_sets(Path(folder) / "mcdiv"):
        told(f"{sets.name} {sets.task}: {len(sets.outputs)} sets")
        k = min(len(texts) for texts in sets.outputs)
        # Rated sets of as many samples as a model is asked for show what half of them would have said.
        half = [k // 2] if sets.people is not None and k >= 6 else []
        full, halved, signatures = score_columns(sets.outputs, wanted, half, encoder=encoder, judge=judge)
        encoders |= set(re.findall(r"\|enc:([^|]+)", " ".join(signatures)))
        others = {AUTHORS + key: values for key, values in sets.authors.items()}
        if sets.people is not None:
            others[PEOPLE] = sets.people
        lengths = np.array([np.mean([len(text.split()) for text in texts]) for texts in sets.outputs])
        weights = draws(sets.contexts, replicates, SEED)
        for metric, values in {**others, **full}.items():
            found = evaluate(values, sets, lengths, weights)
            more = {"half": rounded(shift(values, halved[metric]))} if metric in halved else {}
            n, undefined = len(values), int(np.isnan(values).sum())
            everything.append(row(metric, sets.name, sets.task, n, undefined, found, **more))
            pooled.setdefault((metric, sets.name), []).append((n, undefined, found, more))
        if not sets.name.endswith("_rated"):
            between.append(rank_correlations({spec: full[spec] for spec in wanted}))
    for (metric, name), parts in pooled.items():
        everything.append(over_tasks(metric, name, parts))
    estimates = {key: mean_over_tasks(parts) for key, parts in pooled.items()}
    if (Path(folder) / "noveltybench").is_dir():
        told("noveltybench")
        pairs = novelty(Path(folder) / "noveltybench", wanted, encoder, judge, replicates)
        for (metric, task), (n, found) in pairs:
            everything.append(row(metric, NOVELTY, task, n, 0, found))
            if task == "all":
                estimates[metric, NOVELTY] = found
    return {
        "run": {
            "divfast": divfast.__version__,
            "encoder": sorted(encoders),
            "replicates": replicates,
            "seed": SEED,
        },
        "rows": everything,
        "left_out": left_out,
        "differences": differences(estimates),
        "correlations": {
            "metrics": wanted,
            "matrix": [[rounded(value) for value in line] for line in mean_of_defined(between)],
        },
    }


def mean_of_defined(arrays):
    """Return the mean of several arrays of a shape, where any of them is defined."""
    stacked = np.array(arrays)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(stacked).sum(0) / (~np.isnan(stacked)).sum(0)


def mean_over_tasks(parts):
    """Return the mean over the tasks of a test of what all of them have."""
    keys = set.intersection(*(set(found) for _, _, found, _ in parts))
    return {key: np.mean([part[2][key] for part in parts], axis=0) for key in keys}


def over_tasks(metric, name, parts):
    """Return the row of the mean over the tasks of a test."""
    halves = [part[3]["half"] for part in parts if part[3].get("half") is not None]
    more = {"half": rounded(np.mean(halves))} if halves else {}
    n, undefined = sum(part[0] for part in parts), sum(part[1] for part in parts)
    return row(metric, name, "all", n, undefined, mean_over_tasks(parts), **more)


def differences(estimates):
    """Return how much better one metric is than another by every test, with the interval over the same draws."""
    out = []
    for one, other in COMPARED:
        for name in dict.fromkeys(name for _, name in estimates):
            a, b = estimates.get((one, name), {}), estimates.get((other, name), {})
            for key in ("spearman", "oca", "people", "agreement"):
                if key in a and key in b and not (key == "spearman" and "oca" in a):
                    found = row(one, name, "all", 0, 0, {key: a[key] - b[key]})
                    more = {"difference": found[key], "interval": found[f"{key}_interval"]}
                    out.append({"metric": one, "than": other, "set": name, "of": key, **more})
    return out


def novelty(folder, wanted, encoder, judge, replicates):
    """Yield (metric, task), how many pairs, and how often values agree with classes, on NoveltyBench's samples."""
    files = [read_records(path) for path in sorted(folder.glob("*.jsonl.gz"))]
    every = [{one["input_id"]: one for one in records if one.get("partition")} for records in files]
    most = np.bincount([len(one["outputs"]) for records in every for one in records.values()]).argmax()
    # Values of another K are others.
    every = [some for some in every if some and all(len(one["outputs"]) == most for one in some.values())]
    prompts = sorted(set.intersection(*(set(records) for records in every)))
    outputs = [[records[name]["outputs"] for name in prompts] for records in every]
    classes = np.array(
        [[len(set(records[name]["partition"])) for name in prompts] for records in every], float
    )
    words = np.mean([[len(" ".join(texts).split()) / most for texts in one] for one in outputs], axis=0)
    found = [score_columns(one, wanted, [], encoder=encoder, judge=judge)[0] for one in outputs]
    weights = draws(np.arange(len(prompts)), replicates, SEED)
    tasks = {"all": words >= 0, "short": words <= SHORT, "long": words > SHORT}
    for metric in found[0]:
        values = np.array([one[metric] for one in found])
        for task, kept in tasks.items():
            if kept.any():
                n, agreement = agreements(values[:, kept], classes[:, kept], weights[:, kept])
                yield (metric, task), (n, {"agreement": agreement})


def rank_correlations(full):
    """Return Spearman's correlation of every two metrics on the sets where both are defined, ``float64[m, m]``."""
    names = list(full)
    out = np.eye(len(names))
    for i, one in enumerate(names):
        for j, other in enumerate(names[:i]):
            both = ~(np.isnan(full[one]) | np.isnan(full[other]))
            out[i, j] = out[j, i] = spearman(full[one][both], full[other][both])[0] if both.any() else np.nan
    return out


def main():
    """Measure, and write the results."""
    shared = os.environ.get("DIVFAST_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", default=Path(shared) / "data", help="the folder with mcdiv and noveltybench"
    )
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--judge", help="score metrics over judged pairs as well")
    given = parser.parse_args()
    found = measure(
        given.data, encoder=given.encoder, judge=given.judge, told=lambda words: print(words, flush=True)
    )
    write_whole({given.json: lambda path: path.write_text(as_json(found), "utf-8")})


def as_json(found):
    """Return the results as JSON, a row a line."""
    parts = []
    for key, value in found.items():
        if key == "rows":
            lines = ",\n    ".join(json.dumps(one) for one in value)
            parts.append(f'  "rows": [\n    {lines}\n  ]')
        elif key == "correlations":
            lines = ",\n      ".join(json.dumps(line) for line in value["matrix"])
            parts.append(
                f'  "correlations": {{\n    "metrics": {json.dumps(value["metrics"])},\n'
                f'    "matrix": [\n      {lines}\n    ]\n  }}'
            )
        else:
            parts.append(f'  "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
