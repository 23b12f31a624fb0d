"""The study file: what it may say, and the one sentence for what it may not."""

from pathlib import Path

import pytest

from divfast.errors import DataError
from divfast.studies import read_study
from divfast.studies.plan import Stage, Task

GOOD = """\
study: Two lineages
models:
  base: {model: org/base, prompt: raw}
  sft: {model: org/sft, prompt: chat}
  rl-a:
  rl-b: {model: org/rl, think: false}
lineages:
  think: [{base: base}, {sft: sft}, {rl: [rl-a, rl-b]}]
  short: [base, sft]
tasks:
  gsm8k: {verify: gsm8k}
  quiz: {verify: {as: regex, pattern: "is (.*)"}, metrics: unique, tokenizer: chars}
  xsum:
dumps: dumps/{model}/{task}@{temperature}.jsonl
factors: {temperature: [0.2, 0.8]}
metrics: [ead, cosine]
options: {encoder: minilm, at_k: [8]}
generation: {k: 16, temperature: 0.6}
"""


def written(tmp_path, text=GOOD):
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_is_read(tmp_path):
    study = read_study(written(tmp_path))
    assert study.title == "Two lineages"
    assert list(study.models) == ["base", "sft", "rl-a", "rl-b"]
    assert study.models["base"] == {"model": "org/base", "prompt": "raw"}
    assert study.lineages["think"] == (
        Stage("base", ("base",)),
        Stage("sft", ("sft",)),
        Stage("rl", ("rl-a", "rl-b")),
    )
    assert study.lineages["short"] == (Stage("base", ("base",)), Stage("sft", ("sft",)))
    assert study.tasks["gsm8k"].verify == {"verifier": "gsm8k"}
    assert study.tasks["quiz"].verify == {"verifier": "regex", "pattern": "is (.*)"}
    assert study.tasks["quiz"].metrics == ("unique",)
    assert study.tasks["xsum"] == Task("xsum")
    assert study.scoring("quiz") == {"encoder": "minilm", "at_k": [8], "tokenizer": "chars"}
    assert study.generation == {"k": 16, "temperature": 0.6}
    assert list(study.settings()) == [{"temperature": "0.2"}, {"temperature": "0.8"}]


def test_dumps_stand_beside_the_file_or_where_one_says(tmp_path):
    path = written(tmp_path)
    assert (
        read_study(path).dump("base", "xsum", temperature="0.2")
        == tmp_path / "dumps" / "base" / "xsum@0.2.jsonl"
    )
    assert read_study(path, folder="/d").dump("base", "xsum", temperature="0.8") == Path(
        "/d/dumps/base/xsum@0.8.jsonl"
    )


def test_a_name_is_no_pattern(tmp_path):
    path = written(tmp_path, "lineages: {a: ['b*', '[c]']}\ntasks: [t]\ndumps: '{model}-*.jsonl'\n")
    assert read_study(path).dump("b*", "t") == tmp_path / "b[*]-*.jsonl"
    assert read_study(path).dump("[c]", "t") == tmp_path / "[[]c]-*.jsonl"


def test_levels_may_have_names(tmp_path):
    text = "lineages: {a: [b, c]}\ntasks: [t]\ndumps: '{model}{reasoning}.jsonl'\n"
    text += "factors: {reasoning: {with: '', without: -nocot}}\n"
    study = read_study(written(tmp_path, text))
    assert study.dump("b", "t", reasoning="with").name == "b.jsonl"
    assert study.dump("b", "t", reasoning="without").name == "b-nocot.jsonl"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("lineages:", "lineage:", r"s\.yaml:7: lineage is not a known key\.\nDid you mean lineages"),
        ("{sft: sft}", "{sft: []}", r"s\.yaml:8: lineages\.think\.1\.sft is a stage without models"),
        ("{sft: sft}", "{sft: }", r"is a stage without models"),
        ("{sft: sft}", "{sft: sfd}", r"names a model 'sfd' that is not declared\.\nDid you mean sft"),
        ("{sft: sft}", "{sft: sft, dpo: sft}", "must be a stage, as {STAGE: MODEL}, got a mapping"),
        ("{sft: sft}", "{base: sft}", "names 'base' a second time"),
        ("[rl-a, rl-b]", "[rl-a, rl-a]", "names 'rl-a' a second time"),
        ("[rl-a, rl-b]", "[rl-a, 3]", "must be the name of a model, got 3"),
        ("[base, sft]", "[base]", "short has fewer than two stages"),
        ("[base, sft]", "base", "must be a list of stages"),
        ("verify: gsm8k", "verify: gsm8", r"tasks\.gsm8k\.verify is an unknown verifier 'gsm8'"),
        ("as: regex", "az: regex", r"az is not a known key\.\nDid you mean as"),
        ("as: regex, ", "", "names no verifier"),
        ("tokenizer: chars", "tokeniser: chars", "Did you mean tokenizer"),
        ("at_k", "atk", r"options\.atk is not a known key\.\nDid you mean at_k"),
        ("k: 16", "kk: 16", r"generation\.kk is not a known key"),
        ("prompt: raw", "promt: raw", r"models\.base\.promt is not a known key"),
        ("{temperature}.jsonl", "x.jsonl", r"does not say \{temperature\}, of which there are 2"),
        ("{model}/", "{modell}/", r"unknown name \{modell\}"),
        ("[0.2, 0.8]", "[0.2]", "needs two different levels"),
        ("[0.2, 0.8]", "[0.2, 0.2]", "needs two different levels"),
        ("[0.2, 0.8]", "[on, off]", "has true for a level"),
        ("[0.2, 0.8]", "0.2", "must be a list of levels, got 0.2"),
        ("at_k: [8]", "seed: 8", "seed is not a known key"),
        (
            "at_k: [8]",
            "at_k: [a]",
            r"s\.yaml:17: options\.at_k must be a whole number, or a list, got the text 'a'",
        ),
        ("at_k: [8]", "at_k: true", "at_k must be a whole number, or a list, got true"),
        ("at_k: [8]", "draws: x", "draws must be a whole number, got the text 'x'"),
        ("at_k: [8]", "preset: ", "preset must be a text, got nothing"),
        ("at_k: [8]", "cache: 1", "cache must be true or false, got 1"),
        ("at_k: [8]", "embeddings: 4", "embeddings must be a text, got 4"),
        ("at_k: [8]", "keep_reasoning: 1", "keep_reasoning must be true or false, got 1"),
        ("tokenizer: chars", "vocab_size: x", r"tasks\.quiz\.vocab_size must be a whole number"),
        ('pattern: "is (.*)"', "limit: x", r"tasks\.quiz\.verify\.limit must be a number, got the text 'x'"),
        ("as: regex", "allow_code_execution: true, as: regex", "allow_code_execution is not a known key"),
        ("temperature: [", "task: [", "is not a name for a factor"),
        ("  xsum:", "  gsm8k:", r"s\.yaml:13: tasks\.gsm8k is there twice"),
        ("  xsum:", "  1:", "must be a name, got 1"),
        ("  xsum:", " xsum:", r"s\.yaml:13: is no YAML"),
        ("study: Two", "study: *two", "is no YAML"),
        ("metrics: [ead, cosine]", "metrics: {ead: 1}", "must be a metric such as ead, got a mapping"),
        ("dumps: dumps", "#", "says nothing of dumps"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(tmp_path, old, new, told):
    assert old in GOOD
    with pytest.raises(DataError, match=told) as raised:
        read_study(written(tmp_path, GOOD.replace(old, new)))
    assert raised.value.remedy
    assert len(str(raised.value).splitlines()) == 2


def test_one_value_for_a_list_is_a_list_of_one(tmp_path):
    text = GOOD.replace("at_k: [8]", 'at_k: 8, stop: "def", plugins: p.py, encoder: ')
    text = text.replace("as: regex,", "as: regex, stop: pred, limit: 2,").replace("encoder: minilm, ", "")
    study = read_study(written(tmp_path, text))
    plugins = [str(tmp_path / "p.py")]
    assert study.options == {"at_k": [8], "stop": ["def"], "plugins": plugins, "encoder": None}
    assert study.tasks["quiz"].verify["stop"] == ["pred"]


@pytest.mark.parametrize(
    "text", ["", "- 1\n", "7\n", "study: x\n", "a: &a [*a]\n", "\0", "tasks: [t]\ndumps: d\n"]
)
def test_hostile_files_end_in_a_sentence(tmp_path, text):
    with pytest.raises(DataError):
        read_study(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read: no such file"):
        read_study(tmp_path / "none.yaml")


def test_aliases_that_multiply_cost_nothing(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    with pytest.raises(DataError, match="a0 is not a known key"):
        read_study(written(tmp_path, "\n".join(lines)))
