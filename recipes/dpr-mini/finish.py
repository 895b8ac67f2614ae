"""The trained parts of dpr-mini as the folder that is shipped: the average of the retrievers'
weights, float16, with their settings.

python finish.py --run DIR --to DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from dpr.encoding import SETTINGS_NAME as ENCODING_NAME
from dpr.encoding import EncodingSettings
from dpr.models import DPRQuestionEncoder, DPRReader
from dpr.reading import SETTINGS_NAME as READING_NAME
from dpr.reading import ReadingSettings
from dpr.settings import save_settings
from dpr.tokens import DPRQuestionEncoderTokenizer, DPRReaderTokenizer

RETRIEVERS = ("retriever-0", "retriever-1", "retriever-words")
ENCODING = EncodingSettings(max_length=512)
READING = ReadingSettings()  # weights and threshold: choose.py


def average(folders: Sequence[Path]) -> DPRQuestionEncoder:
    """One encoder with the mean of several encoders' weights (Wortsman et al. 2022)."""
    models = [DPRQuestionEncoder.from_pretrained(folder) for folder in folders]
    weights = [model.state_dict() for model in models]
    mean = {name: torch.stack([one[name] for one in weights]).mean(0) for name in weights[0]}
    models[0].load_state_dict(mean)
    return models[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()

    sources = [args.run / name / "best" / "encoder" for name in RETRIEVERS]
    folder = args.to / "encoder"
    average(sources).save_pretrained(folder, dtype="float16")
    DPRQuestionEncoderTokenizer.from_pretrained(sources[0]).save_pretrained(folder)
    save_settings(ENCODING, folder / ENCODING_NAME)

    source, folder = args.run / "reader" / "best" / "reader", args.to / "reader"
    DPRReader.from_pretrained(source).save_pretrained(folder, dtype="float16")
    DPRReaderTokenizer.from_pretrained(source).save_pretrained(folder)
    save_settings(READING, folder / READING_NAME)


if __name__ == "__main__":
    main()
