"""Cases of metrics over judged pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from divfast.errors import ModelError
from divfast.samples import Samples
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.peers import paper_code

# The seed of the paper's code.
_SEED = 1234


def _judge_folder(place: Place) -> str:
    """Return the folder of a small classifier with random weights: speed does not depend on what they are.

    Raises
    ------
    Absent
        Where it is not there.
    """
    folder = None if place.data is None else place.data.parent / "models" / "tiny-nli"
    if folder is None or not folder.is_dir():
        raise Absent(
            "no models/tiny-nli beside the real dumps; name their folder with --data or DIVFAST_SHARED"
        )
    return str(folder)


def _texts(place: Place, folder: str, dump: str, prompts: int) -> list[list[str]]:
    path = inputs.folder(place, folder) / dump
    if not path.is_file():
        raise Absent(f"no {path.name} in {folder} among the real dumps")
    return inputs.dump_texts(path, prompts=prompts)


def _nli(place: Place, *, folder: str, dump: str, prompts: int) -> Prepared:
    texts = _texts(place, folder, dump, prompts)
    try:
        from divfast.metrics.nli import nli
        from divfast.views.judges import load_judge
        from divfast.views.judgments import JudgmentView, PairJudge

        judge = load_judge(_judge_folder(place))
    except ModelError as error:
        raise Absent(error.what) from None
    samples = Samples.from_lists(texts)

    def run() -> Any:
        # A judge that remembers nothing of the run before.
        rows = JudgmentView(PairJudge(judge, cache=False)).build(samples)
        return nli(rows, samples.groups, seed=_SEED, preset="paper")

    list(judge.classify(["one.", "two"], np.array([[0, 1]])))
    return Prepared(run, lambda values: {"per prompt": values}, {"samples": samples.rows})


def _nli_paper(place: Place, *, folder: str, dump: str, prompts: int) -> Prepared:
    texts = _texts(place, folder, dump, prompts)
    module, versions = paper_code(place)
    groups = [module.OutputGroup(input_id=str(i), outputs=group) for i, group in enumerate(texts)]
    prepared = module.NLIDiversityEvaluator(_judge_folder(place), 1024, 512, -1, -1, 3, random_seed=_SEED)
    prepared._batched_weighted_scores(["one."], ["two"])

    def run() -> Any:
        # Every run begins its random stream anew; the model is loaded.
        prepared._rng.seed(_SEED)
        return prepared.per_input(groups)

    return Prepared(
        run,
        lambda values: {"per prompt": np.array(values)},
        {"samples": sum(map(len, texts))},
        versions,
    )


def _case(name: str, summary: str, folder: str, dump: str, prompts: int, quick: int, ratio: float) -> Case:
    size = {"folder": folder, "dump": dump}
    return Case(
        name,
        summary,
        ({**size, "prompts": prompts},),
        {**size, "prompts": quick},
        (
            Implementation("divfast", _nli, ("torch", "transformers")),
            Implementation("paper", _nli_paper, ("torch", "transformers")),
        ),
        Tolerance(absolute=1e-5),
        Goal(ratio=ratio),
    )


CASES = (
    _case(
        "nli",
        "NLI diversity of every prompt, three sentences of a pair, a small judge, nothing cached",
        "noveltybench",
        "nb_curated__gpt-4o-2024-11-20.jsonl.gz",
        100,
        5,
        10,
    ),
    _case(
        "nli-collapsed",
        "the same where most samples of a prompt are equal",
        "cruxeval",
        "cruxeval_output__gpt-4-0613@T0.2.jsonl.gz",
        800,
        20,
        50,
    ),
)
