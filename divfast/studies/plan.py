"""The study file: which models, lineages, tasks and metrics; checked before any work."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from divfast.errors import MetricError, nearest
from divfast.studies.columns import AVERAGE, RETAINED, TAKEN
from divfast.studies.document import Document, kind
from divfast.studies.keywords import checked, score_options, verify_options

_KEYS = (
    *("study", "models", "lineages", "tasks", "dumps", "factors"),
    *("metrics", "options", "means", "generation"),
)
# What divfast generate makes of these says its documentation; here they are only told from slips of the pen.
MODEL_KEYS = ("model", "revision", "prompt", "template", "system", "think", "engine", "options", "generation")
GENERATION_KEYS = (
    *(
        "k",
        "seed",
        "engine",
        "options",
        "limit",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "max_tokens",
        "stop",
    ),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "logprobs"),
)
# Keys of a task beside the options of `divfast.score`, which it may override.
_TASK_KEYS = ("verify", "metrics", "generation")
_FIELD = re.compile(r"\{([^{}]*)\}")

Factors = Mapping[str, str]


@dataclass(frozen=True)
class Stage:
    """One step of a lineage, and the models that stand for it."""

    name: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One task of a study.

    Attributes
    ----------
    verify : Mapping, optional
        Keywords of `divfast.verify`, with the verifier under ``verifier``; None where nothing is verified.
    metrics : tuple of str
        Instead of those of the study; empty where there are none of its own.
    options : Mapping
        Keywords of `divfast.score`, beside those of the study and instead of those of the same name.
    generation : Mapping
        The same for ``divfast generate``.
    """

    name: str
    verify: Mapping[str, Any] | None = None
    metrics: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study file, checked.

    Attributes
    ----------
    title : str
        What the study is called.
    path, folder : Path
        The file, and where relative names in it begin.
    models : Mapping[str, Mapping]
        Of every model what to load, empty where the file does not say; those of lineages first to last.
    lineages : Mapping[str, tuple of Stage]
        Of every lineage its stages in order.
    tasks : Mapping[str, Task]
        Tasks by name.
    dumps : str
        Pattern of the dumps, with ``{model}``, ``{task}`` and the names of factors.
    factors : Mapping[str, Mapping[str, str]]
        Of every factor its levels, and of every level what stands for it in the names of dumps.
    metrics : tuple of str
        Specs as in `divfast.score`; empty for its default.
    options : Mapping
        Keywords of `divfast.score`.
    means : Mapping[str, str]
        Files of means instead of dumps; the name of the metric, empty where the file says it, and the file.
    generation : Mapping
        What ``divfast generate`` does.
    """

    title: str
    path: Path
    folder: Path
    models: Mapping[str, Mapping[str, Any]]
    lineages: Mapping[str, tuple[Stage, ...]]
    tasks: Mapping[str, Task]
    dumps: str
    factors: Mapping[str, Mapping[str, str]]
    metrics: tuple[str, ...]
    options: Mapping[str, Any]
    means: Mapping[str, str]
    generation: Mapping[str, Any]

    def settings(self) -> Iterator[dict[str, str]]:
        """Yield every combination of levels of the factors; one empty one where there are no factors."""
        for levels in itertools.product(*self.factors.values()):
            yield dict(zip(self.factors, levels, strict=True))

    def dump(self, model: str, task: str, **factors: str) -> Path:
        """Return the pattern of the dump of a model on a task.

        Parameters
        ----------
        model, task : str
            Names in the study.
        **factors : str
            A level of every factor.

        Examples
        --------
        >>> study = Study("", Path("s.yaml"), Path("runs"), {"base": {}}, {}, {"gsm8k": Task("gsm8k")},
        ...     "{model}/{task}@{temperature}.jsonl", {"temperature": {"0.2": "0.2"}}, (), {}, {}, {})
        >>> study.dump("base", "gsm8k", temperature="0.2").as_posix()
        'runs/base/gsm8k@0.2.jsonl'
        """
        words = {"model": model, "task": task}
        words |= {name: self.factors[name][level] for name, level in factors.items()}
        # A name that has a star or a bracket in it is no pattern.
        name = _FIELD.sub(lambda found: glob.escape(words[found[1]]), self.dumps)
        return self.folder / name

    def scoring(self, task: str) -> dict[str, Any]:
        """Return the keywords of `divfast.score` for a task."""
        return {**self.options, **self.tasks[task].options}


def read_study(path: str | Path, *, folder: str | Path | None = None, means: bool = False) -> Study:
    """Read a study file and check it.

    Parameters
    ----------
    path : str or Path
        A file of YAML.
    folder : str or Path, optional
        Where relative names of dumps begin; by default at the file.
    means : bool
        Means will be given in place of dumps, so that neither ``dumps`` nor ``tasks`` need be there.

    Returns
    -------
    Study

    Raises
    ------
    DataError
        Where the file cannot be read, or says something that cannot be meant: an unknown key, a stage without
        models, a lineage of a model that is not declared, a pattern that gives two models the same dump.

    Notes
    -----
    The keys are ``study`` (title), ``models`` (name: what to load; left out, they are what the lineages name),
    ``lineages`` (name: list of stages, each ``STAGE: MODEL`` or ``STAGE: [MODEL, ...]``, or a model alone), ``tasks``
    (name: ``verify`` and options of its own, or a list of names), ``dumps``, ``factors`` (name: list of levels, or
    ``LEVEL: what stands in the name``), ``metrics``, ``options`` (keywords of `divfast.score`), ``means`` (a file of
    means, or ``METRIC: FILE``), ``generation`` (what ``divfast generate --study`` does).
    """
    path = Path(path)
    document = Document(path)
    top = document.known(document.values, (), _KEYS, "a study: a mapping of keys")
    declared = _models(document, top.get("models"))
    lineages = _lineages(document, top.get("lineages"), declared)
    named = [model for stages in lineages.values() for stage in stages for model in stage.models]
    models: Mapping[str, Mapping[str, Any]] = {name: {} for name in named} if declared is None else declared
    if not models:
        raise document.error((), "names no models.", "Name them under lineages: NAME: [{base: MODEL}, ...].")
    given = _means(document, top.get("means"))
    means = means or bool(given)
    tasks = _tasks(document, top.get("tasks"))
    factors = _factors(document, top.get("factors"))
    dumps = ""
    if not means or "dumps" in top:
        if not tasks:
            raise document.error(("tasks",), "names no task.", "Name them under tasks: NAME: {}.")
        if "dumps" not in top:
            raise document.error(
                (), "says nothing of dumps.", "Name them with dumps: FOLDER/{model}/{task}.jsonl."
            )
        dumps = document.text(top["dumps"], ("dumps",), "a pattern of file names")
        _check_pattern(document, dumps, models, tasks, factors)
    title = top.get("study")
    if isinstance(title, (dict, list)):
        raise document.error(("study",), f"must be a title, got {kind(title)}.", "Put it in quotes.")
    return Study(
        title=str(title or path.stem),
        path=path,
        folder=path.parent if folder is None else Path(folder),
        models=models,
        lineages=lineages,
        tasks=tasks,
        dumps=dumps,
        factors=factors,
        metrics=document.texts(top.get("metrics"), ("metrics",), "a metric such as ead"),
        options=_options(document, top.get("options"), ("options",)),
        means=given,
        generation=document.known(
            top.get("generation"), ("generation",), GENERATION_KEYS, "a mapping of sampling parameters"
        ),
    )


def _models(document: Document, value: Any) -> dict[str, Mapping[str, Any]] | None:
    if value is None:
        return None
    if isinstance(value, list):
        return {name: {} for name in document.texts(value, ("models",), "the name of a model")}
    models = document.mapping(value, ("models",), "a mapping of models by name")
    return {
        name: document.known(one, ("models", name), MODEL_KEYS, "a mapping of what to load")
        for name, one in models.items()
    }


def _lineages(
    document: Document, value: Any, declared: Mapping[str, Any] | None
) -> dict[str, tuple[Stage, ...]]:
    out = {}
    for name, stages in document.mapping(value, ("lineages",), "a mapping of lineages by name").items():
        at = ("lineages", name)
        if not isinstance(stages, list):
            raise document.error(
                at, "must be a list of stages in their order.", "Write [{base: MODEL}, {sft: MODEL}, ...]."
            )
        out[name] = tuple(_stage(document, stage, (*at, i), declared) for i, stage in enumerate(stages))
        if len(out[name]) < 2:
            raise document.error(
                at, "has fewer than two stages.", "Name a base and at least one stage after it."
            )
        names = document.texts([stage.name for stage in out[name]], at, "the name of a stage")
        if RETAINED in names[1:]:
            raise document.error(
                (*at, names.index(RETAINED)),
                "is not a name for a stage.",
                "It stands for what the last one has left.",
            )
    return out


def _stage(
    document: Document, value: Any, place: tuple[str | int, ...], declared: Mapping[str, Any] | None
) -> Stage:
    if isinstance(value, dict) and len(value) == 1:
        ((name, models),) = value.items()
        name = document.text(name, place, "the name of a stage")
    else:
        name = models = document.text(value, place, "a stage, as {STAGE: MODEL}")
    found = document.texts(models, (*place, name), "the name of a model")
    if not found:
        raise document.error(
            (*place, name), "is a stage without models.", "Name one, or leave the stage out."
        )
    for model in found:
        if declared is not None and model not in declared:
            raise document.error(
                (*place, name), f"names a model {model!r} that is not declared.", nearest(model, declared)
            )
    return Stage(name, found)


def _tasks(document: Document, value: Any) -> dict[str, Task]:
    if isinstance(value, list):
        tasks = dict.fromkeys(document.texts(value, ("tasks",), "the name of a task"))
    else:
        tasks = dict(document.mapping(value, ("tasks",), "a mapping of tasks by name"))
    if AVERAGE in tasks:
        raise document.error(
            ("tasks", AVERAGE), "is not a name for a task.", "It stands for the average over tasks."
        )
    return {name: _task(document, name, one) for name, one in tasks.items()}


def _task(document: Document, name: str, value: Any) -> Task:
    at = ("tasks", name)
    said = document.known(value, at, (*_TASK_KEYS, *score_options()), "a mapping of what the task needs")
    return Task(
        name=name,
        verify=_verify(document, said.get("verify"), (*at, "verify")),
        metrics=document.texts(said.get("metrics"), (*at, "metrics"), "a metric such as ead"),
        options=_placed(document, {key: one for key, one in said.items() if key not in _TASK_KEYS}, at),
        generation=document.known(
            said.get("generation"), (*at, "generation"), GENERATION_KEYS, "a mapping of sampling parameters"
        ),
    )


def _verify(document: Document, value: Any, place: tuple[str, ...]) -> dict[str, Any] | None:
    from divfast.quality.verifiers import find_verifier

    if value is None:
        return None
    said = value if isinstance(value, dict) else {"as": value}
    settings = dict(
        document.known(said, place, ("as", *verify_options()), "a verifier, or {as: VERIFIER, ...}")
    )
    if "as" not in settings:
        raise document.error(place, "names no verifier.", "Write {as: VERIFIER, ...}.")
    settings["verifier"] = document.text(settings.pop("as"), place, "the name of a verifier")
    try:
        find_verifier(settings["verifier"])
    except MetricError as error:
        raise document.error(place, f"is an {error.what}", error.remedy) from None
    verifier = settings.pop("verifier")
    return {"verifier": verifier, **checked(document, settings, place, verify_options())}


def _factors(document: Document, value: Any) -> dict[str, dict[str, str]]:
    out = {}
    for name, levels in document.mapping(value, ("factors",), "a mapping of factors by name").items():
        at = ("factors", name)
        if name in TAKEN:
            raise document.error(
                at,
                "is not a name for a factor.",
                "The tables have a column of that name: write it otherwise.",
            )
        if not isinstance(levels, (dict, list)):
            raise document.error(
                at, f"must be a list of levels, got {kind(levels)}.", "Write NAME: [LEVEL, LEVEL]."
            )
        pairs = list(levels.items()) if isinstance(levels, dict) else [(one, one) for one in levels]
        for one in (one for pair in pairs for one in pair):
            if isinstance(one, (bool, dict, list)):
                raise document.error(at, f"has {kind(one)} for a level.", "Put texts such as 'on' in quotes.")
        out[name] = {str(level): "" if word is None else str(word) for level, word in pairs}
        if len(out[name]) < 2 or len(out[name]) < len(pairs):
            raise document.error(
                at, "needs two different levels or more.", "Write NAME: [LEVEL, LEVEL, ...]."
            )
    return out


def _check_pattern(
    document: Document,
    pattern: str,
    models: Mapping[str, Any],
    tasks: Mapping[str, Any],
    factors: Mapping[str, Any],
) -> None:
    """Raise where names stand in the pattern that are none, or names are missing that tell dumps apart."""
    fields = set(_FIELD.findall(pattern))
    known = {"model": models, "task": tasks, **factors}
    for name in sorted(fields - set(known)):
        raise document.error(("dumps",), f"has an unknown name {{{name}}} in it.", nearest(name, known))
    for name, values in known.items():
        if name not in fields and len(values) > 1:
            raise document.error(
                ("dumps",),
                f"does not say {{{name}}}, of which there are {len(values)}.",
                f"Put {{{name}}} into the pattern.",
            )


def _means(document: Document, value: Any) -> dict[str, str]:
    if value is None or isinstance(value, str):
        return {} if value is None else {"": value}
    found = document.mapping(value, ("means",), "a file of means, or METRIC: FILE")
    return {name: document.text(file, ("means", name), "a file of means") for name, file in found.items()}


def _options(document: Document, value: Any, place: tuple[str, ...]) -> Mapping[str, Any]:
    found = document.known(value, place, score_options(), "a mapping of options of divfast score")
    return _placed(document, found, place)


def _placed(document: Document, options: Mapping[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    """Return options, checked, with the files that they name beside the study file."""
    folder = document.path.parent
    out = checked(document, options, place, score_options())
    for name in ("embeddings", "prompts"):
        if out.get(name):
            out[name] = str(folder / out[name])
    if "plugins" in out:
        out["plugins"] = [str(folder / file) for file in out["plugins"]]
    return out
