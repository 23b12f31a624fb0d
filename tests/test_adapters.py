"""What an adapter says of itself, and what is said where there is none; drawn from with peft where it is installed."""

import json

import pytest

from divfast.errors import ModelError
from divfast.generation.engines.adapter import adapter_rank, allowed_rank
from divfast.generation.generating import generate
from generating import TINY, close, samples, write_prompts


def written(folder, config, weights="adapter_model.safetensors"):
    folder.mkdir()
    if config is not None:
        (folder / "adapter_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if weights:
        (folder / weights).write_bytes(b"")
    return str(folder)


@pytest.mark.parametrize(
    ("config", "rank"),
    [
        ({"r": 8}, 8),
        ({"r": 16, "rank_pattern": {}}, 16),
        ({"r": 8, "rank_pattern": {"q_proj": 64, "k": 4}}, 64),
    ],
)
def test_the_rank_is_the_largest(tmp_path, config, rank):
    assert adapter_rank(written(tmp_path / "a", config)) == rank


@pytest.mark.parametrize(
    ("config", "weights", "said"),
    [
        (None, "adapter_model.safetensors", "is no adapter: it holds no adapter_config.json."),
        ({"r": 8}, None, "is no adapter: it holds no adapter_model.safetensors."),
        ({}, "adapter_model.bin", "its adapter_config.json names no rank (r)."),
        ({"r": True}, "adapter_model.bin", "its adapter_config.json names no rank (r)."),
        ({"r": 8, "rank_pattern": {"q": "x"}}, "adapter_model.bin", "names no rank (r)."),
        ("{", "adapter_model.bin", "its adapter_config.json cannot be loaded"),
        ("[]", "adapter_model.bin", "names no rank (r)."),
    ],
)
def test_what_is_no_adapter(tmp_path, config, weights, said):
    with pytest.raises(ModelError) as caught:
        adapter_rank(written(tmp_path / "a", config, weights))
    assert said in str(caught.value)
    assert caught.value.where == str(tmp_path / "a")


def test_an_adapter_that_is_not_there(tmp_path):
    for name in (str(tmp_path / "none"), "./none", "none"):
        with pytest.raises(ModelError, match="is no folder, and no name on the hub"):
            adapter_rank(name)


def test_engines_are_built_for_a_few_ranks():
    assert [allowed_rank(rank, (8, 16, 64), "a") for rank in (1, 8, 9, 17, 64)] == [8, 8, 16, 64, 64]
    with pytest.raises(ModelError, match=r"has rank 65, more than vLLM takes \(64\)"):
        allowed_rank(65, (8, 16, 64), "a")


@pytest.mark.model
def test_samples_are_those_of_the_merged_model(shared, tmp_path):
    pytest.importorskip("peft", reason="peft is not installed")
    from adapters import merge, write_adapter

    tiny = shared / TINY
    adapter = write_adapter(tmp_path / "adapter", tiny, 24)
    merged = merge(tmp_path / "merged", tiny, adapter)
    prompts = write_prompts(tmp_path / "prompts.jsonl")
    settings = {
        "engine": "transformers",
        "k": 4,
        "sampling": {"temperature": 0.8, "max_tokens": 24},
        "dtype": "float32",
    }
    for model, name, lora in (
        (tiny, "base", None),
        (tiny, "adapted", str(adapter)),
        (merged, "merged", None),
    ):
        generate(str(model), prompts, output=tmp_path / f"{name}.jsonl", lora=lora, **settings)
    assert close(tmp_path / "adapted.jsonl", tmp_path / "merged.jsonl")
    assert samples(tmp_path / "adapted.jsonl") != samples(tmp_path / "base.jsonl")
