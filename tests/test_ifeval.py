"""Instructions of IFEval: every rule by hand, hostile arguments and samples, published labels and counts."""

import importlib.util
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from divfast.errors import DivfastError
from divfast.quality import paper_instructions
from divfast.quality.english import count_capital_words, count_sentences, count_words
from divfast.quality.ifeval import named_instructions, variants
from divfast.quality.instructions import RULES, Unusable, instruction
from divfast.quality.language import language
from divfast.quality.verified import verify
from divfast.quality.verifiers import Question, Settings, Verdict, find_verifier, judge_here
from test_verify import records, write

pytest.importorskip("py3langid")

AT_LEAST_2 = {"relation": "at least", "let_relation": "at least", "capital_relation": "at least"}
# Instruction, arguments, what follows it, what does not.
KNOWN = [
    ("keywords:existence", {"keywords": ["Sea", "a+b"]}, ["oversea a+B"], ["sea aab", "a+b"]),
    ("keywords:frequency", {"keyword": "an", "frequency": 2} | AT_LEAST_2, ["Banana", "an AN"], ["an"]),
    ("keywords:frequency", {"keyword": "an", "frequency": 2, "relation": "less than"}, ["an"], ["banana"]),
    ("keywords:forbidden_words", {"forbidden_words": ["art", "no"]}, ["party nothing"], ["My ART.", "no"]),
    ("keywords:letter_frequency", {"letter": "E", "let_frequency": 2} | AT_LEAST_2, ["eE"], ["e"]),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2} | AT_LEAST_2, ["##"], ["#"]),
    ("language:response_language", {"language": "de"}, ["Der Hund schläft im Haus.", "42"], ["The dog is asleep."]),
    ("length_constraints:number_sentences", {"num_sentences": 2} | AT_LEAST_2, ["A cat. A dog"], ["A cat, a dog."]),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2},
     ["a\n***\nb", "***a***b***"], ["a\n\nb", "a***b***c", "a***\n***b"]),
    ("length_constraints:number_words", {"num_words": 2.0} | AT_LEAST_2, ["it's", "a b"], ["a_b", ". -"]),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "So"},
     ["a\n\n'so, b", "a\n\nSO"], ["a\n\nsoon", "a\n\nb", "so", "a\n\n\n\nso", "a\n\nso\n\nc"]),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["[a] [[b]"], ["[a [b]", "[a\n] [b]"]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["p. s. x"], ["PS x", "P.S"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["p.p. s"], ["P.S. x"]),
    ("detectable_content:postscript", {"postscript_marker": "NB:"}, ["nb: x"], ["NB x"]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2},
     ["* a\n  - b", "- a\n\n\n-b"], ["* a", "* a\n* b\n* c", "** a\n** b", "+ a\n+ b"]),
    ("detectable_format:constrained_response", {}, ["Well. My answer is no."], ["My answer is no", "no"]),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2},
     ["*a* *b*", "**a** *b*"], ["*a*", "** ** *a*", "*a\nb* *c*"]),
    ("detectable_format:multiple_sections", {"section_spliter": "PART", "num_sections": 2},
     ["PART 1\na PART2"], ["PART 1", "Part 1 Part 2", "PART a PART b"]),
    ("detectable_format:json_format", {}, ['{"a": [1]}', '```json\n{"a": 1}\n```', "1" * 9999], ["{a: 1}", "x"]),
    ("detectable_format:title", {}, ["<<a>>", "x <<<b>>"], ["<< >>", "<<a\nb>>", "<a>", ">><<"]),
    ("combination:two_responses", {}, ["a******b", "******a\n******\nb"], ["a", "a******a", "a******b******c"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Why?"}, ["why? So."], ["So. Why?"]),
    ("startend:end_checker", {"end_phrase": "The end."}, ['"... the END."\n'], ["The end. No"]),
    ("change_case:capital_word_frequency", {"capital_frequency": 2} | AT_LEAST_2, ["I AM", "I'M"], ["I'm"]),
    ("change_case:english_capital", {}, ["IT IS COLD, AND WE GO HOME."], ["It is cold.", "ES IST KALT UND DUNKEL."]),
    ("change_case:english_lowercase", {}, ["it is cold, and we go home."], ["It is cold.", "es ist kalt und dunkel."]),
    ("punctuation:no_comma", {}, ["a\uff0c b"], ["a, b"]),
    ("startend:quotation", {}, [' "a" ', '""'], ['"', '"a', "\u201ca\u201d"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "right", "wrong"), KNOWN, ids=[row[0] for row in KNOWN])
def test_instructions_by_hand(name, values, right, wrong):
    follows = instruction(name, values)
    assert [follows(text) for text in right + wrong] == [True] * len(right) + [False] * len(wrong)


def test_all_25_instructions_are_there():
    assert len(RULES) == 25
    assert {row[0] for row in KNOWN} == set(RULES)


def test_paragraphs_need_something_between_the_marks():
    follows = instruction("length_constraints:number_paragraphs", {"num_paragraphs": 2})
    assert [follows(text) for text in ("a***\n***b", "***a***b***")] == [False, True]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        (" \n ", 0),
        ("No stop", 1),
        ("One. Two! Three? Four", 4),
        ("A heading\n\nand a line.", 1),
        ("1. First.\n2. Second.", 4),
        ("1. first and 2. second", 1),
        ("Dr. Smith and Mr. J. R. Brown left at 5 p.m. on Dec. 3.", 1),
        ("It ends at 5 p.m. The rest follows.", 2),
        ("A. Introduction", 2),
        ("Well... perhaps", 1),
        ("Wait!! What?! (Yes.) No.", 4),
        ('He said "Go." Then "Stop!" and left.', 3),
        ("“Hi.” She left.", 2),
        ("**Bold.** Next", 2),
        ("*The end.*", 2),
        ('She said "yes."', 1),
        ("Version 3.5 of example.com is out", 1),
        ("P.S. I love it", 2),
    ],
)
def test_sentences_as_punkt_counts_them(text, sentences):
    assert count_sentences(text) == sentences


def test_words_in_capitals_as_nltk_counts_them():
    tokenize = pytest.importorskip("nltk").tokenize.NLTKWordTokenizer().tokenize
    pieces = ["IT'S", "I'm", "DON'T", "U.S.", "X-15", "A/B", "**BOLD**", "(NO)", '"YES"', "3,000", "OK,", "A:", "5PM",
              "é", "ÉTÉ", "--", "...", "I\u2019M", "<<T>>", "#TAG", "$A", "word", "Word's", "K.", "WHY?!", "[N]",
              "\n"]  # fmt: skip
    rng = random.Random(0)
    for _ in range(500):
        text = " ".join(rng.choices(pieces, k=12))
        assert count_capital_words(text) == sum(token.isupper() for token in tokenize(text)), text


def test_words_are_runs_of_letters_and_digits():
    assert count_words("It's 3.5 km \u2028 שלום עולם 日本語") == 8


SPOKEN = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "vi": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
    "sw": "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "uk": "Всі люди народжуються вільними і рівними у своїй гідності та правах.",
    "bg": "Всички хора се раждат свободни и равни по достойнство и права.",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "fa": "تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.",
    "ur": "تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔",
    "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "mr": "सर्व मानवी व्यक्ति जन्मतः स्वतंत्र आहेत व त्यांना समान प्रतिष्ठा व समान अधिकार आहेत.",
    "ne": "सबै मानिसहरू जन्मैले स्वतन्त्र हुन् र तिनीहरूको अधिकार र सम्मान समान छन्।",
    "bn": "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "zh": "人人生而自由，在尊严和权利上一律平等。",
    "ta": "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.",
    "te": "మానవులెల్లరు స్వతంత్రులుగా జన్మించినారు.",
    "kn": "ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ.",
    "gu": "પ્રતિષ્ઠા અને અધિકારોની દૃષ્ટિએ સર્વ માનવો જન્મથી સ્વતંત્ર અને સમાન હોય છે.",
    "pa": "ਸਾਰਾ ਮਨੁੱਖੀ ਪਰਿਵਾਰ ਆਪਣੀ ਮਹਿਮਾ ਅਤੇ ਹੱਕਾਂ ਦੇ ਪੱਖੋਂ ਜਨਮ ਤੋਂ ਹੀ ਆਜ਼ਾਦ ਹੈ।",
    "ml": "മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചവരാണ്.",
}


def test_languages_are_told_the_same_in_every_thread():
    # The first sentence of the Universal Declaration of Human Rights.
    assert {code: language(text) for code, text in SPOKEN.items()} == {code: code for code in SPOKEN}
    assert language(SPOKEN["en"].upper()) == "en"
    assert [language(text) for text in ("", "12:30 \u2028 !", "\ud800")] == [None] * 3
    with ThreadPoolExecutor(8) as pool:
        found = [list(pool.map(language, SPOKEN.values())) for _ in range(3)]
    assert found == [list(SPOKEN)] * 3


def test_loose_tries_what_is_like_the_sample():
    assert variants("a\n\u2028b") == ["a\n\u2028b", "\u2028b".strip(), "a"]
    assert variants("") == []
    tests = {"instruction_id_list": ["startend:quotation", "detectable_format:title"], "kwargs": [{}, {}]}
    outputs = ['Sure!\n"<<T>>"', '"<<T>>"', '"T"', "", "*"]
    strict, loose = (
        judge_here(find_verifier("ifeval"), Question(outputs, {"tests": tests}), Settings(loose=rule))
        for rule in (False, True)
    )
    assert [one.correct for one in strict] == [False, True, False, False, False]
    assert [one.correct for one in loose] == [True, True, False, False, False]
    assert [one.further for one in strict] == [one.further for one in loose]
    assert strict[0].further == {
        "correct_strict": False, "inst_strict": [False, True], "correct_loose": True, "inst_loose": [True, True],
    }  # fmt: skip
    assert [one.extracted for one in strict] == [
        "detectable_format:title", strict[1].expected, "startend:quotation", None, "",
    ]  # fmt: skip


FORMS = [
    {"tests": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}},
    {"tests": '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": [null]}'},
    {"instruction_id_list": ["en:punctuation:no_comma"], "kwargs": [{"num_words": None}]},
    {"instruction_id_list": ["punctuation:no_comma"], "kwargs": ["{}"]},
    {"tests": {"instruction_id_list": '["punctuation:no_comma"]', "kwargs": "[{}]"}},
    {"tests": {"instruction_id_list": ["punctuation:no_comma"]}},
]


@pytest.mark.parametrize(
    "columns", FORMS, ids=["object", "text", "columns", "texts", "all text", "no arguments"]
)
def test_instructions_may_stand_in_several_ways(columns):
    assert [name for name, _ in named_instructions(columns)] == ["punctuation:no_comma"]


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({}, "no tests"),
        ({"tests": "assert f(1) == 2"}, "tests cannot be read"),
        ({"tests": "[" * 100_000}, "tests cannot be read"),
        ({"tests": 3}, "no tests"),
        ({"tests": {"instruction_id_list": []}}, "no instructions"),
        ({"instruction_id_list": "startend:quotation"}, "tests cannot be read"),
        (
            {"instruction_id_list": '"startend:quotation"', "kwargs": [{}]},
            "instruction_id_list is no list of names",
        ),
        ({"instruction_id_list": [["a"]]}, "instruction_id_list is no list of names"),
        ({"instruction_id_list": 3}, "tests cannot be read"),
        ({"instruction_id_list": ["a"], "kwargs": 3}, "tests cannot be read"),
        ({"instruction_id_list": ["a"], "kwargs": []}, "kwargs are not one object for each instruction"),
        ({"instruction_id_list": ["a"], "kwargs": [[]]}, "kwargs are not one object for each instruction"),
        ({"instruction_id_list": ["es:a"]}, "unknown instruction es:a"),
        (
            {"instruction_id_list": ["startend:end_checker"]},
            "startend:end_checker: no end_phrase",
        ),
    ],
)
def test_what_cannot_be_tested_has_no_verdict(columns, error):
    found = judge_here(find_verifier("ifeval"), Question(["x", ""], columns), Settings())
    assert found == [Verdict(None, error=error)] * 2


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("length_constraints:number_words", {"relation": "at least"}, "no num_words"),
        ("length_constraints:number_words", {"num_words": 3}, "no relation"),
        ("length_constraints:number_words", {"num_words": 3, "relation": "most"}, "neither at least nor less than"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": True}, "no whole number"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": "3"}, "no whole number"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2.5}, "no whole number"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": float("nan")}, "no whole number"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": float("inf")}, "no whole number"),
        ("keywords:existence", {"keywords": "word"}, "no list of texts"),
        ("keywords:existence", {"keywords": [1]}, "no list of texts"),
        ("keywords:existence", {"keywords": []}, "no list of texts"),
        ("keywords:frequency", {"keyword": "", "frequency": 1, "relation": "at least"}, "no text"),
        ("keywords:letter_frequency", {"letter": "ab"}, "no single character"),
        ("language:response_language", {"language": "klingon"}, "language is unknown"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_named(name, values, why):
    with pytest.raises(Unusable, match=f"{name}: .*{why}"):
        instruction(name, values)


EVERY = {
    "num_words": 3, "relation": "at least", "num_sentences": 3, "num_paragraphs": 3, "nth_paragraph": 2,
    "first_word": "a", "keywords": ["zz", "a b"], "keyword": "zz", "frequency": 3, "forbidden_words": ["zz"],
    "letter": "a", "let_frequency": 3, "let_relation": "at least", "language": "hi", "num_placeholders": 10**7,
    "postscript_marker": "P.P.S", "num_bullets": 3, "num_highlights": 10**7, "section_spliter": "Section",
    "num_sections": 10**7, "prompt_to_repeat": "hello", "end_phrase": "bye", "capital_frequency": 10**7,
    "capital_relation": "at least",
}  # fmt: skip


@pytest.mark.parametrize("unit", ["[", "*", "<<", " ", "\n", "```", ".", "p.", "日", "I'M ", "\u2028"])
def test_long_samples_cost_no_more_than_their_length(unit):
    # Quadratic time would be hours.
    text = unit * (1_000_000 // len(unit))
    for name in RULES:
        # Languages are told by a library whose time is measured above, and only texts in one case get there.
        if not name.startswith(("language", "change_case:english")):
            instruction(name, EVERY)(text)
        paper_instructions.follows(name, EVERY, text)
    variants(text)


def test_every_rule_survives_every_text():
    texts = [
        "",
        "\0",
        "\u2028",
        "\ud800",
        "שלום, עולם.",
        "日本語。",
        "👩‍👩‍👧",
        "\r\n\r\n",
        "[" * 5000,
        "İ" * 3,
        "ﬁ",
    ]
    for name in RULES:
        follows = instruction(name, EVERY)
        assert all(follows(text) in (True, False) for text in texts)


def test_verdicts_are_written_and_taken_up_again(tmp_path, monkeypatch):
    tests = {"instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, {}]}
    path = write(
        tmp_path / "dump.jsonl",
        (['"a"', "a", "x\n*b", ""], {"tests": tests}),
        (["a"], {"tests": {"instruction_id_list": ["x:y"], "kwargs": [{}]}, "correct_loose": [True]}),
    )
    from divfast.quality import verified

    real = verified._record
    monkeypatch.setattr(verified, "_record", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        verify(path, "ifeval", tmp_path / "out.jsonl")
    monkeypatch.setattr(verified, "_record", real)
    done = verify(path, "ifeval", tmp_path / "out.jsonl")
    assert done.run["prompts_resumed"] == 2
    first, second = records(tmp_path / "out.jsonl")
    assert (
        first["correct"] == first["correct_strict"] == first["correct_loose"] == [True, False, False, False]
    )
    assert first["inst_strict"] == [[True, True], [True, False], [True, False], [False, False]]
    assert (second["correct"], second["error"]) == ([None], ["unknown instruction x:y"])
    assert not {"correct_loose", "inst_strict"} & set(second)
    assert (done.correct, done.incorrect, done.unparseable) == (1, 3, 1)
    assert done.errors == {"unknown instruction x:y": 1}
    assert done.shares == {
        "correct_strict": 0.25,
        "correct_loose": 0.25,
        "inst_strict": 0.5,
        "inst_loose": 0.5,
    }
    assert done.to_dict()["shares"] == done.shares
    assert "rule:strict" in str(done.signature)
    # It can be read and judged once more, by the loose rule, with another signature.
    again = verify(tmp_path / "out.jsonl", "ifeval", tmp_path / "again.jsonl", loose=True)
    assert "rule:loose" in str(again.signature)
    assert again.correct == 1


def test_columns_of_the_authors_file_are_kept(tmp_path):
    columns = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    path = write(tmp_path / "dump.jsonl", (["a"], columns))
    verify(path, "ifeval", tmp_path / "out.jsonl")
    done = verify(tmp_path / "out.jsonl", "ifeval", tmp_path / "again.jsonl")
    assert done.correct == 1
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loose": True, "preset": "paper"}, "the preset paper has no loose rule"),
        ({"loose": True, "verifier": "exact"}, "a loose rule is for ifeval"),
        ({"columns": {"gold": "1"}}, 'ifeval needs the field "tests", "instruction_id_list" or "kwargs"'),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, options, message):
    columns = options.pop("columns", {"tests": FORMS[0]["tests"]})
    path = write(tmp_path / "dump.jsonl", (["1"], columns))
    with pytest.raises(DivfastError, match=message):
        verify(path, options.pop("verifier", "ifeval"), tmp_path / "out.jsonl", **options)


def test_without_what_tells_languages_it_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "dump.jsonl", (["1"], FORMS[0]))
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "py3langid" else real(name))
    with pytest.raises(DivfastError, match="ifeval needs py3langid"):
        verify(path, "ifeval", tmp_path / "out.jsonl")
    assert verify(path, "ifeval", tmp_path / "out.jsonl", preset="paper").correct == 1
