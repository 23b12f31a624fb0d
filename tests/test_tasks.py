"""The fifteen tasks: prompts and gold by hand, real records, verifiers that take what they give."""

import random
import re
from pathlib import Path

import pytest

from divfast.generation.task import all_tasks, find_task, load_prompts
from divfast.quality import paper_answers
from divfast.quality.verifiers import Question, Settings, Verdict, find_verifier, judge_here, verifiers

ROOT = Path(__file__).resolve().parent.parent
TASKS = all_tasks()
# The columns of every table of the paper, in the order of its figures.
NAMES = (
    *("tldr", "cnn_dailymail", "xsum", "humaneval", "mbpp", "cruxeval", "gsm8k", "math_algebra"),
    *("math_geometry", "truthfulqa", "alpaca", "ifeval", "writingprompts", "prism", "wildbench"),
)

# For every task a record of its data set, the prompt that it makes, and the columns beside it.
CASES = {
    "tldr": (
        {"subreddit": "AskReddit", "title": "A {title}", "post": "Long.\nLonger.", "summary": "Short."},
        "SUBREDDIT: AskReddit\nTITLE: A {title}\nPOST: Long.\nLonger.\nTL;DR:",
        {"references": ["Short."]},
    ),
    "cnn_dailymail": (
        {"article": "News.", "highlights": "One .\nTwo .", "id": "a1"},
        "ARTICLE: News.\nTL;DR:",
        {"references": ["One .\nTwo ."]},
    ),
    "xsum": (
        {"document": "News.", "summary": "One.", "id": "1"},
        "ARTICLE: News.\nTL;DR:",
        {"references": ["One."]},
    ),
    "humaneval": (
        {
            "task_id": "HumanEval/0",
            "prompt": 'def f(x):\n    """{x}"""\n',
            "canonical_solution": "    return x\n",
            "test": "def check(candidate):\n    assert candidate(1) == 1\n",
            "entry_point": "f",
        },
        'def f(x):\n    """{x}"""\n',
        {
            "references": ["    return x\n"],
            "tests": "def check(candidate):\n    assert candidate(1) == 1\n",
            "entry_point": "f",
        },
    ),
    "mbpp": (
        {
            "task_id": 11,
            "text": "Write a function to add.",
            "code": "def add(a, b):\r\n  return a + b",
            "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
            "test_setup_code": "",
            "challenge_test_list": [],
        },
        '"""\nWrite a function to add.\n"""\n',
        {
            "references": ["def add(a, b):\r\n  return a + b"],
            "tests": "assert add(1, 2) == 3\nassert add(0, 0) == 0",
            "entry_point": "add",
        },
    ),
    "cruxeval": (
        {"code": "def f(x):\n    return {x}", "input": "1, {'a': 2}", "output": "{1}", "id": "sample_0"},
        "Given the following Python function:\n\n```python\ndef f(x):\n    return {x}\n```\n\n"
        "What is the output of `f(1, {'a': 2})`?\n\nAnswer:",
        {"gold": "{1}", "tests": "def f(x):\n    return {x}\nassert {1} == "},
    ),
    "gsm8k": (
        {"question": "Two and two?", "answer": "2 + 2 = <<2+2=4>>4\n#### 1,004"},
        "Question: Two and two?\n\nAnswer:",
        {"gold": "1,004"},
    ),
    "math_algebra": (
        {
            "problem": "Find $x$.",
            "level": "Level 1",
            "type": "Algebra",
            "solution": r"So $x = \boxed{\frac{1}{2}}$.",
        },
        "Problem: Find $x$.\n\nSolution:",
        {"gold": r"\boxed{\frac{1}{2}}"},
    ),
    "math_geometry": (
        {"problem": "How long?", "level": "Level 5", "type": "Geometry", "solution": r"$\boxed{10\sqrt{2}}$"},
        "Problem: How long?\n\nSolution:",
        {"gold": r"\boxed{10\sqrt{2}}"},
    ),
    "truthfulqa": (
        {
            "type": "Adversarial",
            "category": "Misconceptions",
            "question": "Who?",
            "best_answer": "Nobody",
            "correct_answers": ["No one", "Nobody at all"],
            "incorrect_answers": ["Me"],
            "source": "",
        },
        "Q: Who?\nA:",
        {"gold": "Nobody", "references": ["No one", "Nobody at all", "Nobody"]},
    ),
    "alpaca": (
        {"instruction": "Add them.", "input": "1, 2", "output": "3", "text": ""},
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nAdd them.\n\n### Input:\n1, 2\n\n"
        "### Response:\n",
        {"references": ["3"]},
    ),
    "ifeval": (
        {
            "key": 1000,
            "prompt": "Write, without commas.",
            "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
            "kwargs": [
                {"num_words": None, "relation": None},
                {"num_words": 300, "relation": "at least"},
            ],
        },
        "Write, without commas.",
        {
            "tests": {
                "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
                "kwargs": [{}, {"num_words": 300, "relation": "at least"}],
            }
        },
    ),
    "writingprompts": (
        {"prompt": "[ WP ] A door opens . \n", "story": "It did."},
        "[ WP ] A door opens .\n\n",
        {"references": ["It did."]},
    ),
    "prism": (
        {
            "opening_prompt": " Is it right? ",
            "included_in_balanced_subset": True,
            "conversation_type": "values guided",
        },
        "Is it right?",
        {"conversation_type": "values guided"},
    ),
    "wildbench": (
        {
            "conversation_input": [
                {"role": "user", "content": "Help me.\n"},
                {"role": "assistant", "content": "How?"},
                {"role": "user", "content": "So."},
            ],
            "checklist": ["Does it help?", "Is it short?"],
        },
        "Help me.",
        {"checklist": ["Does it help?", "Is it short?"]},
    ),
}
every_task = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def hub(monkeypatch):
    """What datasets.load_dataset gives: set `records`; `asked` is what it was asked for."""

    class Hub:
        records, asked = (), None

        def load_dataset(self, *where, **more):
            self.asked = where, more
            return self.records

    hub = Hub()
    monkeypatch.setitem(__import__("sys").modules, "datasets", hub)
    return hub


def test_there_are_the_fifteen():
    assert set(TASKS) == set(NAMES) == set(CASES)


def test_they_are_the_columns_of_the_paper(shared):
    header = (shared / "paper" / "sbert_per_input.csv").read_text("utf-8").split("\n")[0]
    assert set(header.split(",")[1:]) == set(NAMES)


@every_task
def test_prompt_and_columns(name, hub):
    record, prompt, columns = CASES[name]
    hub.records = [record]
    (found,) = load_prompts(name)
    assert (found.id, found.text, found.messages, dict(found.columns)) == ("0", prompt, None, columns)
    (found,) = load_prompts(name, chat=True)
    assert (found.text, found.messages) == (prompt, None)
    task = TASKS[name]
    assert hub.asked == ((task.dataset, task.config), {"split": task.split, "revision": None})


def test_alpaca_without_input(hub):
    hub.records = [CASES["alpaca"][0] | {"input": ""}]
    assert load_prompts("alpaca")[0].text == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd them.\n\n### Response:\n"
    )


@pytest.mark.parametrize(
    ("prompt", "balanced", "taken"),
    [
        ("Is it right?", True, True),
        ("Is it right?", False, False),
        ("  ", True, False),
        ("Hello!", True, False),
        ("HEY?!", True, False),
        ("hello there", True, True),
        ("é" * 2 + "a" * 8, True, True),
        ("é" * 3 + "a" * 7, True, False),
    ],
)
def test_prism_takes_what_the_paper_takes(hub, prompt, balanced, taken):
    last = {"opening_prompt": "last", "included_in_balanced_subset": True, "conversation_type": "unguided"}
    hub.records = [last | {"opening_prompt": prompt, "included_in_balanced_subset": balanced}, last]
    assert len(load_prompts("prism")) == 1 + taken


@every_task
def test_what_the_paper_says_of_all(name):
    task = TASKS[name]
    assert task.seed == 42
    assert task.n == {"humaneval": 164, "math_geometry": 479, "truthfulqa": 817}.get(name, 500)
    assert task.max_tokens == {"cruxeval": 2048, "truthfulqa": 512}.get(name, 32768)
    assert (not task.stop) == (name in ("ifeval", "writingprompts", "prism", "wildbench"))


@pytest.mark.parametrize("name", [name for name in NAMES if TASKS[name].verifier])
def test_the_verifier_has_what_it_reads(name):
    task = TASKS[name]
    if task.verifier not in verifiers():
        pytest.skip(f"the verifier {task.verifier} is not here yet")
    verifier = find_verifier(task.verifier)
    preset = task.verify.get("preset", "default")
    assert preset in verifier.presets
    assert set(verifier.columns(Settings(preset=preset))) & set(task.columns)


@pytest.mark.parametrize("name", ["gsm8k", "math_algebra", "math_geometry", "truthfulqa", "cruxeval"])
def test_the_answer_of_the_data_set_is_right(name, hub):
    record, _, columns = CASES[name]
    task = TASKS[name]
    answer = task.answer.text(record)
    settings = Settings(preset=task.verify.get("preset", "default"))
    question = Question([answer, "no such thing"], columns)
    assert [verdict.correct for verdict in judge_here(find_verifier(task.verifier), question, settings)] == [
        True,
        False,
    ]


# Counted in the files; the first prompt is number SHUFFLED[0] of its data set.
REAL = {
    "gsm8k": ("gsm8k_test", 500, 1319, "Question: Jared is trying to increase his typing speed."),
    "humaneval": ("HumanEval", 164, 164, "\n\ndef correct_bracketing(brackets: str):\n"),
    "mbpp": ("mbpp", 500, 500, '"""\nWrite a function to verify validity of a string of parentheses.\n"""\n'),
    "math_algebra": ("math_test_5000", 500, 1187, "Problem: If a drip of water is equivalent to"),
    "math_geometry": ("math_test_5000", 479, 479, "Problem: The area of square $ABCD$ is 100 square"),
    "ifeval": ("ifeval_input_data", 500, 541, "Write an extremely short essay on the role of mythology"),
    "cruxeval": (
        "cruxeval",
        500,
        800,
        "Given the following Python function:\n\n```python\ndef f(char_freq):",
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_records(shared, name):
    file, taken, held, beginning = REAL[name]
    prompts = load_prompts(name, shared / "data" / "gold" / f"{file}.jsonl.gz")
    assert len(prompts) == len({prompt.id for prompt in prompts}) == taken
    # As lighteval takes them.
    numbers = [str(i) for i in range(held)]
    random.Random(42).shuffle(numbers)
    assert [prompt.id for prompt in prompts] == numbers[:taken]
    assert prompts[0].text.startswith(beginning)
    assert load_prompts(name, shared / "data" / "gold" / f"{file}.jsonl.gz", 3) == prompts[:3]


def test_gold_of_real_records(shared):
    gold = shared / "data" / "gold"
    first = load_prompts("gsm8k", gold / "gsm8k_test.jsonl.gz", 1)[0]
    assert first.columns == {"gold": "52"}
    first = load_prompts("mbpp", gold / "mbpp.jsonl.gz", 1)[0]
    assert first.columns["tests"] == (
        'assert is_valid_parenthese("(){}[]")==True\nassert is_valid_parenthese("()[{)}")==False\n'
        'assert is_valid_parenthese("()")==True'
    )
    first = load_prompts("ifeval", gold / "ifeval_input_data.jsonl.gz", 1)[0]
    assert first.columns["tests"]["kwargs"] == [
        {"num_highlights": 2},
        {"relation": "less than", "num_words": 101},
    ]


@pytest.mark.parametrize(("name", "field"), [("gsm8k", "answer"), ("math_algebra", "solution")])
def test_gold_is_what_the_paper_takes_for_it(shared, hub, name, field):
    """Its code reads the whole answer of the data set; the verifier reads gold alone."""
    import gzip
    import json

    file = shared / "data" / "gold" / f"{REAL[name][0]}.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    hub.records = [
        record for record in records if record.get("type", "Algebra") == "Algebra" and record[field]
    ]
    golds = {prompt.id: prompt.columns["gold"] for prompt in load_prompts(name)}
    for id, gold in golds.items():
        whole = hub.records[int(id)][field]
        boxed = name != "gsm8k"
        expected = paper_answers.extract(whole) if boxed else paper_answers.extract_gold(whole, boxed=False)
        verdict = judge_here(find_verifier("math" if boxed else "gsm8k"), *_asked(gold))[0]
        assert verdict.expected == expected, whole


def _asked(gold):
    return Question(["nothing"], {"gold": gold}), Settings(preset="paper")


def test_a_verdict_is_never_missing(shared):
    """The gold of every real record is something that its verifier can compare with."""
    for name in ("gsm8k", "math_geometry", "cruxeval"):
        task = TASKS[name]
        prompts = load_prompts(name, shared / "data" / "gold" / f"{REAL[name][0]}.jsonl.gz")
        settings = Settings(preset=task.verify.get("preset", "default"))
        for prompt in prompts:
            judge = find_verifier(task.verifier).judge(Question([""], prompt.columns), settings)
            assert not isinstance(judge, Verdict)


def test_find_task():
    assert find_task("gsm8k") == TASKS["gsm8k"]
    assert list(TASKS) == sorted(NAMES)


def test_the_document_lists_them():
    text = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    table = {name: row.split(" | ") for name, row in rows if name in TASKS}
    assert list(table) == list(NAMES)
    for name, row in table.items():
        task = TASKS[name]
        where = " ".join(filter(None, (f"`{task.dataset}`", task.config, task.split)))
        quality = f"`{task.verifier}`" if task.verifier else task.judge.get("how", "")
        if task.verify.get("preset"):
            quality += f", {task.verify['preset']}"
        if task.judge.get("against"):
            quality += f", against {task.judge['against']}"
        tokens = f"{task.max_tokens:,}"
        assert row == [where, str(task.n), quality, tokens, task.summary], name
