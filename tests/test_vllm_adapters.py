"""Adapters under a real vLLM (make test-vllm): what is drawn is what the merged model says, at any rank."""

import pytest

from divfast.errors import ModelError
from divfast.generation.engines import Request
from divfast.generation.engines.vllm import open_engine
from divfast.generation.generating import generate
from divfast.generation.sampling import Sampling
from generating import TINY, records, use_little, write_prompts

pytestmark = pytest.mark.vllm
OPTIONS = {"dtype": "float32", "enforce_eager": True, "max_model_len": 128, "batch_size": 16}
# More than the 16 that vLLM is built for by default, and none of the ranks that it can be built for.
RANK = 24


@pytest.fixture(scope="module", autouse=True)
def small():
    """Little memory, two threads, no network."""
    pytest.importorskip("vllm")
    with pytest.MonkeyPatch.context() as patch:
        use_little(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="module")
def adapter(shared, folder):
    from adapters import write_adapter

    return write_adapter(folder / "adapter", shared / TINY, RANK)


def greedy(model, **options):
    """Return texts and log-probabilities of the likeliest samples of a few prompts, and the facts of the engine."""
    with open_engine(str(model), Sampling(temperature=0.0, max_tokens=16), {**OPTIONS, **options}) as engine:
        requests = [Request(i, f"Tell me about {i}", [7]) for i in range(6)]
        found = {key: drawn[0] for key, drawn in engine(requests)}
        return [found[i].text for i in range(6)], [found[i].logprob for i in range(6)], engine.facts


def test_samples_are_those_of_the_merged_model(shared, folder, adapter):
    from adapters import merge

    adapted, scores, facts = greedy(shared / TINY, lora=str(adapter))
    merged, same, _ = greedy(merge(folder / "merged", shared / TINY, adapter))
    assert adapted == merged
    assert scores == pytest.approx(same, abs=1e-2)
    plain, _, _ = greedy(shared / TINY)
    assert plain != adapted
    assert facts["lora"] == str(adapter)


def test_the_dump_names_its_adapter(shared, adapter, tmp_path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    path = tmp_path / "dump.jsonl"
    settings = {"engine": "vllm", "k": 2, "sampling": {"max_tokens": 8}, **OPTIONS}
    generate(str(shared / TINY), prompts, output=path, lora=str(adapter), **settings)
    assert records(path)[0]["generation"]["lora"] == str(adapter)
    with pytest.raises(Exception, match="was drawn with lora"):
        generate(str(shared / TINY), prompts, output=path, **settings)


def test_an_adapter_that_does_not_fit_is_one_sentence(shared, tmp_path):
    from adapters import write_adapter

    dora = write_adapter(tmp_path / "dora", shared / TINY, 4, use_dora=True)
    with pytest.raises(ModelError, match="the adapter cannot be loaded") as caught:
        greedy(shared / TINY, lora=str(dora))
    assert caught.value.where == str(dora)
    large = write_adapter(tmp_path / "large", shared / TINY, 1024)
    with pytest.raises(ModelError, match="has rank 1024, more than vLLM takes"):
        greedy(shared / TINY, lora=str(large))
