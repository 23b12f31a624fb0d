"""English sentences, words, and words in capitals, counted as the tokenizers behind IFEval count them.

Its code counts sentences with the Punkt model of NLTK, a download, and words in capitals with NLTK's word tokenizer.
The rules here give the same counts, from the text alone.
"""

from __future__ import annotations

import re
from itertools import pairwise

_WORD = re.compile(r"\w+")
_STOPS = ".!?"
_PAUSES = frozenset(";:,.!?")
_QUOTES = "\"')]}“”‘’«»"
_CLOSING = frozenset("?!;*:@({[" + _QUOTES)
_OPENING = '("`{[:;&#*@)}]-,'
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*")
# Letters whose stop makes an initial of them; behind the others, as in "A. Introduction", a sentence may begin.
_INITIALS = frozenset("cdefghklmnprstvw")
_ABBREVIATED = (
    "mr mrs ms messrs dr prof gen rep reps sen lt col gov sgt maj sr jr st ave blvd ft inc co corp ltd bros cos vs jan "
    "feb aug sept sep oct nov dec tues wed thurs fri calif conn fla ga ill mich minn tenn va vt wash wis yr u.s u.n "
    "u.k u.s.a u.s.s.r d.c n.y n.j n.c s.c l.a a.m p.m ph.d m.b.a j.k j.r"
)
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
# Words that in capitals begin a sentence even behind an abbreviation.
_STARTING = (
    "after also although an and as at but by for from he her his how however if in it its my no not of on or our she "
    "since so that the their then there these they this those to under we what when where which while who why with "
    "you your"
)
_STARTERS = frozenset(_STARTING.split())
# A word ends here; a comma or colon within a number ends none.
_APART = re.compile(r"[\s()\[\]{}<>\";@#$%&?!“”«»„‘’—]+|--+|\.\.\.+|[:,](?!\d)")
_CONTRACTED = re.compile(r"('[sSmMdD]|'ll|'LL|'re|'RE|'ve|'VE|n't|N'T)'?$")
_LONGEST_CONTRACTION = 4


def count_words(text: str) -> int:
    """Return the number of words: of runs of letters, digits and underscores.

    Examples
    --------
    >>> count_words("It's 3.5 km, well-known.")
    7
    """
    return sum(1 for _ in _WORD.finditer(text))


def count_sentences(text: str) -> int:
    """Return the number of sentences.

    Notes
    -----
    A sentence ends at ``.``, ``!`` or ``?`` with white space behind it, or with a quotation mark, a bracket or one of
    ``*:;@`` between them; not after an abbreviation, an initial, three dots, or a number that a small letter follows.
    What stands behind the last end is a sentence too. White space alone ends none, so a heading belongs to what
    follows, and the 1. of a list counts. One pass, linear time.

    Examples
    --------
    >>> count_sentences('Dr. Smith said "Go!" and left. It was 3 p.m. in the U.S. Army')
    3
    """
    ends = 0
    rest = False
    for token, following in pairwise([*text.split(), ""]):
        stop = _last_stop(token, final=not following)
        if stop and _ends_sentence(token[:stop], following):
            ends += 1
            rest = bool(token[stop:].lstrip(_QUOTES))
        elif rest or not ends or token.lstrip(_QUOTES):
            rest = True
    return ends + rest


def _last_stop(token: str, *, final: bool) -> int:
    """Return where the last stop ends that has something behind it; 0 where there is none."""
    for end in range(len(token), 0, -1):
        if token[end - 1] in _STOPS and (not final if end == len(token) else token[end] in _CLOSING):
            return end
    return 0


def _ends_sentence(token: str, following: str) -> bool:
    if token[-1] != ".":
        return True
    if token.endswith(".."):
        return False
    word = token[:-1].lstrip(_OPENING)
    if _NUMBER.fullmatch(word):
        return not (following[:1].islower() or following[:1] in _PAUSES)
    lower = word.lower()
    if len(word) == 1 and word.isalpha():
        before_initial = len(following) == 2 and following[1] == "."
        return not (lower in _INITIALS or before_initial or following[:1].islower())
    if lower in _ABBREVIATIONS:
        return following[:1].isupper() and following.rstrip(",").lower() in _STARTERS
    return True


def count_capital_words(text: str) -> int:
    """Return the number of words without a small letter.

    Notes
    -----
    Words end at white space, brackets, quotation marks and most punctuation, not at hyphens, slashes or stops within;
    a contraction is two words, so "IT'S" counts twice and "I'm" once. Linear time.

    Examples
    --------
    >>> count_capital_words("NASA's X-15 flew HIGH, and I'm told: DON'T!")
    6
    """
    many = 0
    for piece in _APART.split(text):
        if piece.islower():
            continue
        end = _CONTRACTED.search(piece, max(0, len(piece) - _LONGEST_CONTRACTION))
        at = end.start() if end else len(piece)
        many += piece[:at].isupper() + piece[at:].isupper()
    return many
