"""Questions with odd characters, for tests that write and read."""

from __future__ import annotations

from hypothesis import strategies as st

from dpr.questions.fields import is_blank
from dpr.records import Question

ODD = "a B\"'\\\t\n\r\u00a0\u0085\u2028\ufeff{[,]}é\u0301日😀#-1"
# What every format must hold: anything but NUL characters and halves of surrogate pairs.
characters = st.one_of(
    st.sampled_from(ODD), st.characters(exclude_characters="\0", exclude_categories=["Cs"])
)
texts = st.text(characters, min_size=1, max_size=12).filter(lambda text: not text.isspace())
# What TREC's files hold.
words = st.text(characters, min_size=1, max_size=8).filter(
    lambda text: text.split() == [text] and not text.startswith("\ufeff")
)
answers = st.lists(texts.filter(lambda text: not is_blank(text)), max_size=3).map(tuple)


def questions(ids: st.SearchStrategy[str] = texts) -> st.SearchStrategy[tuple[Question, ...]]:
    """Questions of different ids; those without answers may be unanswerable."""
    one = st.builds(Question, ids, texts, answers, st.booleans()).map(
        lambda q: Question(q.id, q.text, q.answers, q.unanswerable and not q.answers)
    )
    return st.lists(one, min_size=1, max_size=5, unique_by=lambda q: q.id).map(tuple)
