"""Files of questions, judgements and runs in the field's formats: read into records, written back.

``read_question_set`` takes a file or folder and gives a ``QuestionSet``; ``read_questions`` streams
questions from a pipe. Runs and judgements are plain dictionaries, ``{question id: {passage id:
score}}`` and ``{question id: {passage or document id: grade}}``, as ir_measures takes them. Knows
nothing of passages' contents, models or measures.

What is malformed is an ``InputError`` that names the file and line (in SQuAD JSON: the article,
paragraph and question). A file that is written is whole or not there at all. What each format
holds, and what gets lost in it, is in docs/formats.md, "Questions, judgements and runs".

>>> import tempfile
>>> from pathlib import Path
>>> folder = Path(tempfile.mkdtemp())
>>> path = folder / "trivia.tsv"
>>> _ = path.write_text("what is the capital of france\\t['Paris', 'paris, france']\\n")
>>> questions = read_question_set(path)
>>> questions.name, questions.questions[0].id, questions.questions[0].answers
('trivia', '0', ('Paris', 'paris, france'))
>>> write_run(folder / "bm25.run", {"0": {"a": 1.5, "b": 2.25, "c": 1.5}}, tag="bm25")
>>> print((folder / "bm25.run").read_text(), end="")
0 Q0 b 1 2.25 bm25
0 Q0 c 2 1.5 bm25
0 Q0 a 3 1.5 bm25
>>> read_run(folder / "bm25.run")
{'0': {'b': 2.25, 'c': 1.5, 'a': 1.5}}
"""

from dpr.questions.given import check_set, question_set
from dpr.questions.lines import batches, read_questions
from dpr.questions.qrels import read_judgements, write_judgements
from dpr.questions.results import iterate_results, read_results, write_results
from dpr.questions.runs import read_run, write_run
from dpr.questions.sets import read_question_set, write_question_set

__all__ = [
    "batches",
    "check_set",
    "iterate_results",
    "question_set",
    "read_judgements",
    "read_question_set",
    "read_questions",
    "read_results",
    "read_run",
    "write_judgements",
    "write_question_set",
    "write_results",
    "write_run",
]
