"""A judge of the size of roberta-large on a GPU, beside the paper's code.

Its weights are random: speed does not depend on them.

    python bench/judge_gpu.py [PAIRS]

Says that it has not run where there is no GPU. Needs the extra `embed`, a tokenizer of RoBERTa or of the same form (the
folder models/tiny-nli beside the real dumps), and a checkout of the paper's code (DIVFAST_PEER_PAPER).
"""

import json
import sys
import tempfile
import time
from pathlib import Path

PAIRS = 360_000
WORDS = 25
# As the paper's code is configured.
PEER_BATCH = 1024


def roberta_large(tokenizer_folder, folder):
    """Write a classifier with the sizes of roberta-large and random weights beside a tokenizer."""
    import shutil

    import torch
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(
        vocab_size=50265,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        id2label={0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"},
    )
    torch.manual_seed(0)
    RobertaForSequenceClassification(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(tokenizer_folder) / name, Path(folder) / name)
    return folder


def sentences(tokenizer, count):
    """Return different texts of 25 tokens each, a few more or fewer: pairs are not all of one length."""
    import numpy as np

    rng = np.random.default_rng(0)
    pieces = [tokenizer.decode([i]) for i in range(5, len(tokenizer))]
    letters = [piece for piece in pieces if piece.isalpha() and piece.isascii()]
    sizes = np.clip(rng.normal(WORDS, 8, count).round(), 4, 60).astype(int)
    return ["".join(rng.choice(letters, size)) for size in sizes]


def judged_pairs(pairs=PAIRS, *, tokenizer_folder=None, paper_code=None, dtype="bfloat16"):
    """Yield rows of a report: pairs a second of divfast in `dtype` and float32, and of the paper's code.

    On its way it checks that both say the same of the first thousand pairs, in float32.
    """
    import numpy as np
    import torch

    if not torch.cuda.is_available():
        yield {"case": "judge-gpu", "status": "absent", "reason": "it has not run: torch finds no GPU"}
        return
    from divfast.views.judges import load_judge
    from divfast.views.judgments import PairJudge

    with tempfile.TemporaryDirectory() as folder:
        roberta_large(tokenizer_folder, folder)
        judge = load_judge(folder, dtype="float32")
        texts = sentences(judge.tokenizer, pairs // 8)
        rng = np.random.default_rng(1)
        asked = rng.integers(0, len(texts), (pairs, 2))
        where = torch.cuda.get_device_name()

        def timed(work):
            torch.cuda.synchronize()
            start = time.perf_counter()
            found = work()
            torch.cuda.synchronize()
            return found, time.perf_counter() - start

        seconds = {}
        for arithmetic in ("float32", dtype):
            ours = judge if arithmetic == "float32" else load_judge(folder, dtype=arithmetic)
            PairJudge(ours, cache=False)(texts, asked[:2000])
            found, seconds[arithmetic] = timed(lambda ours=ours: PairJudge(ours, cache=False)(texts, asked))
            if arithmetic == "float32":
                expected = found[:1000].astype(float)
            yield {
                "case": "judge-gpu",
                "implementation": f"divfast, {arithmetic}",
                "seconds": seconds[arithmetic],
            }
        if paper_code is None:
            return
        from divfast.throughput.case import Place
        from divfast.throughput.peers import paper_code as load

        module, versions = load(Place(Path(folder), None, paper_code))
        peer = module.NLIDiversityEvaluator(folder, PEER_BATCH, 512, -1, -1, 3, random_seed=1234)
        first, second = ([texts[i] for i in column] for column in asked.T.tolist())
        said = np.array(peer._batched_weighted_scores(first[:1000], second[:1000]))
        difference = float(np.abs(said - (expected[:, 0] - expected[:, 2])).max())
        if difference > 1e-3:
            yield {"case": "judge-gpu", "status": "differs", "reason": f"the values are {difference:g} apart"}
            return
        _, taken = timed(lambda: peer._batched_weighted_scores(first, second))
        ratios = {arithmetic: taken / mine for arithmetic, mine in seconds.items()}
        row = {
            "case": "judge-gpu",
            "implementation": "paper",
            "seconds": taken,
            "ratio": ratios,
            "gpu": where,
        }
        yield row | {"difference": difference, "versions": versions, "goal": 5}


if __name__ == "__main__":
    from divfast import env

    shared = env.shared() or Path(__file__).resolve().parents[2] / "shared"
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    for line in judged_pairs(
        wanted, tokenizer_folder=shared / "models" / "tiny-nli", paper_code=env.peer_paper()
    ):
        print(json.dumps(line))
