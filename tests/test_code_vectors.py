"""Encoders of code are given the programs in samples."""

import numpy as np
import pytest

import divfast
from divfast.errors import ModelError

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def unixcoder(tmp_path_factory):
    """A folder laid out as microsoft/unixcoder-base: a RobertaModel without a pooling, here with random weights."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("models") / "unixcoder-base"
    pieces = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    pieces.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet
    )
    pieces.train_from_iterator(["x = 1"], trainer)
    names = dict(
        zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), special, strict=True)
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces, model_max_length=64, cls_token="<s>", sep_token="</s>", **names
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=80,
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    return str(folder)


def test_code_is_embedded_in_place_of_text(unixcoder):
    fenced = ["Sure:\n```python\nx = 1\n```\n", "No.\n```\ny = [2]\n```", "```\nx = 1\n```"]
    bare = ["x = 1", "y = [2]", "x = 1"]
    options = {"scopes": ["prompt"], "encoder": unixcoder, "cache": False}
    code = divfast.score([fenced], ["cosine", "vendi"], embed="code", **options)
    plain = divfast.score([bare], ["cosine", "vendi"], **options)
    text = divfast.score([fenced], ["cosine"], **options)
    for spec in ("cosine", "vendi"):
        np.testing.assert_allclose(code[spec].values, plain[spec].values, rtol=1e-5)
    assert abs(text["cosine"].mean - code["cosine"].mean) > 1e-4
    assert "/code/python/auto" in str(code["cosine"].signature)
    assert "/mean/" in str(code["cosine"].signature)


def test_a_folder_that_is_none():
    with pytest.raises(ModelError):
        divfast.score([["x"]], ["cosine"], encoder="./no-such-encoder", embed="code")
