"""What the tables of a study are, and what stands in their columns, each in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

AVERAGE, RETAINED = "average", "retained"

_INTERVAL = "95% interval of the number before it, over prompts"
_MODEL = "a model of the study"
_TASK = "a task, or `average`: the mean over tasks, each counting alike"
_METRIC = "a metric of diversity; `@k=5`: at 5 samples of each prompt, whichever 5, by expectation"
_STEP = "the stage that is stepped to; `retained` looks from the base to the last stage at once"
_P = "two-sided p-value of the difference, by random flips of its sign in each prompt"
_HOLM = "the same after Holm's correction for all tests of the metric: below 0.05 is significant"
_PROMPTS = "how many prompts there are; for an average those of all tasks"

TITLES: Mapping[str, str] = {
    "attribution": "Where along a lineage diversity is lost: the share of every stage, by task and averaged.",
    "values": "Every metric of every model: the mean over prompts.",
    "decomposition": "How much of a loss is narrowing of right samples, and how much only fewer wrong ones.",
    "quality": "How often models are right, and what a majority vote over their samples gains.",
    "correlation": "Which metrics say the same: Spearman's correlation over prompts, and over models.",
    "length": "Whether a change is only one of length: the change expected for prompts whose length stays.",
    "ranks": "How models rank by every metric, 1 for the greatest value.",
    "factors": "Two levels of a factor compared, all else alike.",
}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "attribution": {
        "lineage": "models that were trained one from the other, by stages",
        "task": _TASK,
        "metric": _METRIC,
        "step": _STEP,
        "from": "the models before the step",
        "to": "those after it",
        "base": "the metric of the first stage: what all shares are in percent of",
        "before": "the metric before the step",
        "after": "the metric after it",
        "change": "after less before",
        "share": "the change in percent of the base, negative where diversity is lost; for `retained` how many percent "
        "of the base are left; empty where the base may as well be 0",
        "low": _INTERVAL,
        "high": _INTERVAL,
        "p": _P,
        "p_holm": _HOLM,
        "prompts": "prompts on which all models of the lineage have a value, over which all of this is",
        "undefined": "prompts on which some model of the lineage has none",
        "tasks": "tasks in an average",
    },
    "values": {
        "model": _MODEL,
        "task": _TASK,
        "metric": f"{_METRIC}; `length` is in tokens",
        "value": "the mean over prompts; the more, the more diverse, for most metrics: see `divfast metrics`",
        "low": _INTERVAL,
        "high": _INTERVAL,
        "std": "standard deviation over prompts",
        "prompts": _PROMPTS,
        "undefined": "prompts without a value, such as those with too few samples or tokens",
        "tasks": "tasks in an average: those on which all models have a value",
        "unit": "what the value counts",
        "signature": "all that the value depends on: two of the same signature may be compared",
    },
    "decomposition": {
        "lineage": "the lineages in which the model follows on the base",
        "base": "the first model of the lineage",
        "model": "a later one",
        "task": f"{_TASK}; only tasks with a verifier",
        "metric": _METRIC,
        "over": "`own`: every model over the prompts for which two of its samples are right or more; `paired`: both "
        "over those for which this is so of both",
        "base_all": "the metric of the base on all samples",
        "model_all": "that of the model",
        "base_correct": "the metric of the base on right samples alone",
        "model_correct": "that of the model",
        "loss": "base_all - model_all: all that is lost",
        "residual": "base_correct - model_correct: what is lost among right samples too, so right answers have become "
        "more alike",
        "quality_control": "loss - residual: what is lost because fewer samples are wrong, or these are more alike",
        "share": "residual / loss: 0 where only wrong samples have gone, 1 where right ones are as much more alike as "
        "all are; below 0 where right ones are less alike; empty where the loss may as well be 0",
        "computable_base": "prompts with two right samples or more of the base",
        "computable_model": "of the model",
        "prompts": _PROMPTS,
        "tasks": "tasks in an average",
    },
    "quality": {
        "model": _MODEL,
        "task": _TASK,
        "accuracy": "share of right samples, all counted",
        "accuracy_at_1": "share of prompts whose first sample is right",
        "majority": "share of prompts whose most frequent answer is right; ties count as wrong",
        "mv_gain": "majority - accuracy_at_1; misleading where the first sample is no random one",
        "gain_over_mean": "majority - accuracy: what voting adds to a sample drawn at random",
        "prompts": _PROMPTS,
        "undefined": "prompts on which a value lacks, for want of a verdict",
    },
    "correlation": {
        "task": _TASK,
        "over": "`prompts`: over the prompts of each model, then the mean over models; `models`: over their means",
        "metric_a": "one metric",
        "metric_b": "the other; `length` in tokens",
        "spearman": "Spearman's rank correlation",
        "low": _INTERVAL,
        "high": _INTERVAL,
        "kendall": "Kendall's tau-b, over models",
        "models": "how many models there are",
        "prompts": "how many prompts there are",
    },
    "length": {
        "lineage": "models that were trained one from the other, by stages",
        "task": "a task",
        "metric": _METRIC,
        "step": _STEP,
        "change": "by how much the metric changes",
        "length_change": "by how many tokens the mean length changes",
        "slope": "change of the metric for a token more, by regression over prompts",
        "at_equal_length": "the change expected for prompts whose length stays the same: where it is near the change, "
        "the change is not one of length",
        "low": _INTERVAL,
        "high": _INTERVAL,
        "distance": "how far such prompts are from those there are, in standard deviations: at 2 or more "
        "at_equal_length is a guess",
        "prompts": "prompts on which all of this is defined",
    },
    "ranks": {
        "task": _TASK,
        "metric": _METRIC,
        "model": _MODEL,
        "value": "the mean over prompts",
        "rank": "its place among the models, 1 for the greatest value; equal ones share the mean of their places",
        "low": "ends of the ranks that 95% of the draws of prompts give it",
        "high": "ends of the ranks that 95% of the draws of prompts give it",
    },
    "factors": {
        "factor": "what is varied",
        "a": "one of its levels",
        "b": "another",
        "model": _MODEL,
        "task": "a task",
        "metric": f"{_METRIC}, `length` in tokens, or a measure of quality",
        "value_a": "the mean at level a, over the prompts with a value at both",
        "value_b": "the mean at level b",
        "difference": "b less a",
        "low": _INTERVAL,
        "high": _INTERVAL,
        "pairs": "prompts with a value at both levels",
        "p": _P,
        "p_holm": "the same after Holm's correction for all tests of the factor and metric: below 0.05 is significant",
    },
}
# A factor is a column of every table, so it can be called none of these.
TAKEN = frozenset(name for columns in COLUMNS.values() for name in columns)
