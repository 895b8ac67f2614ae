"""Dense Passage Retrieval: ask questions of your own documents.

Every public name is here and loads on first use: ``import dpr`` alone imports neither torch nor
numpy, pyarrow or tokenizers. What is not in ``__all__`` may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpr.client import AsyncClient as AsyncClient
    from dpr.client import Client as Client
    from dpr.client import RetrySettings as RetrySettings
    from dpr.collection import BuildSettings as BuildSettings
    from dpr.collection import Changed as Changed
    from dpr.collection import Collection as Collection
    from dpr.collection import verify as verify
    from dpr.corpus import DuplicateSettings as DuplicateSettings
    from dpr.corpus import SourceSettings as SourceSettings
    from dpr.corpus import SplitSettings as SplitSettings
    from dpr.corpus import read_documents as read_documents
    from dpr.corpus import read_passages as read_passages
    from dpr.corpus import split_document as split_document
    from dpr.encoding import ContextEncoder as ContextEncoder
    from dpr.encoding import EncodingSettings as EncodingSettings
    from dpr.encoding import QuestionEncoder as QuestionEncoder
    from dpr.errors import CheckpointError as CheckpointError
    from dpr.errors import CollectionError as CollectionError
    from dpr.errors import CorruptionError as CorruptionError
    from dpr.errors import DPRError as DPRError
    from dpr.errors import IdError as IdError
    from dpr.errors import InputError as InputError
    from dpr.errors import MismatchError as MismatchError
    from dpr.errors import MissingExtraError as MissingExtraError
    from dpr.errors import ServiceError as ServiceError
    from dpr.errors import SettingsError as SettingsError
    from dpr.filters import Filters as Filters
    from dpr.fusion import FusionSettings as FusionSettings
    from dpr.indexes.analysis import WordsSettings as WordsSettings
    from dpr.indexes.bm25 import BM25Settings as BM25Settings
    from dpr.interchange.dual import DualEncoder as DualEncoder
    from dpr.interchange.exporting import (
        export_sentence_transformers as export_sentence_transformers,
    )
    from dpr.models import DPRConfig as DPRConfig
    from dpr.models import DPRContextEncoder as DPRContextEncoder
    from dpr.models import DPRContextEncoderOutput as DPRContextEncoderOutput
    from dpr.models import DPRPretrainedContextEncoder as DPRPretrainedContextEncoder
    from dpr.models import DPRPreTrainedModel as DPRPreTrainedModel
    from dpr.models import DPRPretrainedQuestionEncoder as DPRPretrainedQuestionEncoder
    from dpr.models import DPRPretrainedReader as DPRPretrainedReader
    from dpr.models import DPRQuestionEncoder as DPRQuestionEncoder
    from dpr.models import DPRQuestionEncoderOutput as DPRQuestionEncoderOutput
    from dpr.models import DPRReader as DPRReader
    from dpr.models import DPRReaderOutput as DPRReaderOutput
    from dpr.pipeline import EvaluationSettings as EvaluationSettings
    from dpr.pipeline import Pipeline as Pipeline
    from dpr.pipeline import add as add
    from dpr.pipeline import compact as compact
    from dpr.pipeline import evaluate as evaluate
    from dpr.pipeline import index as index
    from dpr.pipeline import open as open
    from dpr.pipeline import remove as remove
    from dpr.pipeline import report as report
    from dpr.pipeline import sync as sync
    from dpr.questions import read_judgements as read_judgements
    from dpr.questions import read_question_set as read_question_set
    from dpr.questions import read_results as read_results
    from dpr.questions import read_run as read_run
    from dpr.questions import write_judgements as write_judgements
    from dpr.questions import write_question_set as write_question_set
    from dpr.questions import write_results as write_results
    from dpr.questions import write_run as write_run
    from dpr.reading import Reader as Reader
    from dpr.reading import ReadingSettings as ReadingSettings
    from dpr.records import Answer as Answer
    from dpr.records import Asked as Asked
    from dpr.records import Document as Document
    from dpr.records import Hit as Hit
    from dpr.records import Passage as Passage
    from dpr.records import Question as Question
    from dpr.records import QuestionSet as QuestionSet
    from dpr.records import Section as Section
    from dpr.search.settings import SearchSettings as SearchSettings
    from dpr.shipped import ModelNames as ModelNames
    from dpr.tokens import BatchEncoding as BatchEncoding
    from dpr.tokens import DPRContextEncoderTokenizer as DPRContextEncoderTokenizer
    from dpr.tokens import DPRContextEncoderTokenizerFast as DPRContextEncoderTokenizerFast
    from dpr.tokens import DPRQuestionEncoderTokenizer as DPRQuestionEncoderTokenizer
    from dpr.tokens import DPRQuestionEncoderTokenizerFast as DPRQuestionEncoderTokenizerFast
    from dpr.tokens import DPRReaderTokenizer as DPRReaderTokenizer
    from dpr.tokens import DPRReaderTokenizerFast as DPRReaderTokenizerFast
    from dpr.tokens import DPRSpanPrediction as DPRSpanPrediction

__version__ = "0.1.0"

_WHERE = {
    "Answer": "records",
    "Asked": "records",
    "AsyncClient": "client",
    "BM25Settings": "indexes.bm25",
    "BatchEncoding": "tokens",
    "BuildSettings": "collection",
    "Changed": "collection",
    "CheckpointError": "errors",
    "Client": "client",
    "Collection": "collection",
    "CollectionError": "errors",
    "ContextEncoder": "encoding",
    "CorruptionError": "errors",
    "DPRConfig": "models",
    "DPRContextEncoder": "models",
    "DPRContextEncoderOutput": "models",
    "DPRContextEncoderTokenizer": "tokens",
    "DPRContextEncoderTokenizerFast": "tokens",
    "DPRError": "errors",
    "DPRPreTrainedModel": "models",
    "DPRPretrainedContextEncoder": "models",
    "DPRPretrainedQuestionEncoder": "models",
    "DPRPretrainedReader": "models",
    "DPRQuestionEncoder": "models",
    "DPRQuestionEncoderOutput": "models",
    "DPRQuestionEncoderTokenizer": "tokens",
    "DPRQuestionEncoderTokenizerFast": "tokens",
    "DPRReader": "models",
    "DPRReaderOutput": "models",
    "DPRReaderTokenizer": "tokens",
    "DPRReaderTokenizerFast": "tokens",
    "DPRSpanPrediction": "tokens",
    "Document": "records",
    "DualEncoder": "interchange.dual",
    "DuplicateSettings": "corpus",
    "EncodingSettings": "encoding",
    "EvaluationSettings": "pipeline",
    "Filters": "filters",
    "FusionSettings": "fusion",
    "Hit": "records",
    "IdError": "errors",
    "InputError": "errors",
    "MismatchError": "errors",
    "MissingExtraError": "errors",
    "ModelNames": "shipped",
    "Passage": "records",
    "Pipeline": "pipeline",
    "Question": "records",
    "QuestionEncoder": "encoding",
    "QuestionSet": "records",
    "Reader": "reading",
    "ReadingSettings": "reading",
    "RetrySettings": "client",
    "SearchSettings": "search.settings",
    "Section": "records",
    "ServiceError": "errors",
    "SettingsError": "errors",
    "SourceSettings": "corpus",
    "SplitSettings": "corpus",
    "WordsSettings": "indexes.analysis",
    "add": "pipeline",
    "compact": "pipeline",
    "evaluate": "pipeline",
    "export_sentence_transformers": "interchange.exporting",
    "index": "pipeline",
    "open": "pipeline",
    "read_documents": "corpus",
    "read_judgements": "questions",
    "read_passages": "corpus",
    "read_question_set": "questions",
    "read_results": "questions",
    "read_run": "questions",
    "remove": "pipeline",
    "report": "pipeline",
    "split_document": "corpus",
    "sync": "pipeline",
    "verify": "collection",
    "write_judgements": "questions",
    "write_question_set": "questions",
    "write_results": "questions",
    "write_run": "questions",
}

__all__ = sorted([*_WHERE, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
