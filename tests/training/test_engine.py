"""What the engine tells the C library about memory."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from dpr.training.engine import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
[torch.ones(750_000) for _ in range(30)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    [torch.ones(750_000) for _ in range(30)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc"
)
def test_pages_of_a_freed_tensor_are_taken_again() -> None:
    faults = {
        case: int(subprocess.check_output([sys.executable, "-c", FAULTS, case], text=True))
        for case in ("plain", "keep")
    }
    assert faults["keep"] < faults["plain"] / 4
