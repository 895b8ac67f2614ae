"""The trained parts of dpr-mini as the folder that is shipped: float16, with their settings.

python finish.py --run DIR --to DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dpr.encoding import SETTINGS_NAME as ENCODING_NAME
from dpr.encoding import EncodingSettings
from dpr.models import DPRQuestionEncoder, DPRReader
from dpr.reading import SETTINGS_NAME as READING_NAME
from dpr.reading import ReadingSettings
from dpr.settings import save_settings
from dpr.tokens import DPRQuestionEncoderTokenizer, DPRReaderTokenizer

ENCODING = EncodingSettings(max_length=256)
READING = ReadingSettings()  # weights and threshold: choose.py


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()

    source, folder = args.run / "retriever" / "best" / "encoder", args.to / "encoder"
    DPRQuestionEncoder.from_pretrained(source).save_pretrained(folder, dtype="float16")
    DPRQuestionEncoderTokenizer.from_pretrained(source).save_pretrained(folder)
    save_settings(ENCODING, folder / ENCODING_NAME)

    source, folder = args.run / "reader" / "best" / "reader", args.to / "reader"
    DPRReader.from_pretrained(source).save_pretrained(folder, dtype="float16")
    DPRReaderTokenizer.from_pretrained(source).save_pretrained(folder)
    save_settings(READING, folder / READING_NAME)


if __name__ == "__main__":
    main()
