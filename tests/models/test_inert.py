"""PyTorch files read as data: equal to what torch reads, and nothing in them ever runs."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from dpr.errors import CheckpointError
from dpr.models.convert import convert_checkpoint
from dpr.models.inert import LazyTensor, Record, plain, read_inert
from dpr.models.weights import read_tensors

from .hostile import PAYLOADS, UNVERIFIED, checkpoint, reduced, text, torch_file

DTYPES = [
    *(torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32),
    *(torch.int16, torch.int8, torch.uint8, torch.bool),
]


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_payloads_do_fire_in_an_unpickler(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "fired"
    with suppress(Exception):  # after the deed, some of them fall over
        pickle.loads(PAYLOADS[name](str(canary)))
    assert canary.exists()


@pytest.mark.parametrize("name", [*PAYLOADS, *UNVERIFIED])
def test_no_payload_fires_here(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "fired"
    data = (PAYLOADS | UNVERIFIED)[name](str(canary))
    for suffix in (".cp", ".bin"):
        zipped = torch_file(tmp_path / f"zipped{suffix}", data)
        bare = tmp_path / f"bare{suffix}"
        bare.write_bytes(data)
        for path in (zipped, bare):
            with pytest.raises(CheckpointError, match=path.name):
                convert_checkpoint(path, tmp_path / "out")
            with pytest.raises(CheckpointError, match=path.name):
                read_tensors(path)
    if name != "as a key":  # of a None that the call gives, refused for that
        with pytest.raises(CheckpointError, match=r"refuses the (name|opcode)|refuses a ref"):
            read_inert(tmp_path / "zipped.cp")
    assert not canary.exists()
    assert not (tmp_path / "out").exists()


def realised(value: Any) -> Any:
    if isinstance(value, LazyTensor):
        return value.read()
    if isinstance(value, dict):
        return {key: realised(item) for key, item in value.items()}
    return [realised(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_is_read_equals_what_torch_reads(protocol: int, tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    value = {
        "tensors": OrderedDict(
            a=base,
            transposed=base.t(),
            part=base[1:, 2:4],
            scalar=torch.tensor(3.5),
            empty=torch.empty(0, 3),
            parameter=torch.nn.Parameter(torch.ones(2)),
            **{str(dtype): torch.ones(3, dtype=dtype) for dtype in DTYPES},
        ),
        "values": [
            1,
            -1,
            300,
            70_000,
            2**40,
            -(2**80),
            1.5,
            True,
            False,
            None,
            "é\U0001f600",
            b"x",
        ],
        "nested": {1: (1, 2), 2: (), 3: ((1,),), None: [(1, 2, 3, 4)], 2.5: {"a": [[]]}},
        "repeated": ["same"] * 3,
    }
    path = tmp_path / "x.pt"
    torch.save(value, path, pickle_protocol=protocol)
    found, expected = realised(read_inert(path)), torch.load(path, weights_only=False)
    assert found["tensors"].keys() == expected["tensors"].keys()
    for key, tensor in expected["tensors"].items():
        assert found["tensors"][key].dtype == tensor.dtype
        assert torch.equal(found["tensors"][key], tensor.detach()), key
    assert {k: found[k] for k in found if k != "tensors"} == {
        k: expected[k] for k in expected if k != "tensors"
    }


def test_old_opcodes_and_sets(tmp_path: Path) -> None:
    old = pickle.dumps({"a": [1, 2.5, "x", (1, 2), None, True, {"b": 10**30}]}, 0)
    assert read_inert(torch_file(tmp_path / "old.pt", old)) == {
        "a": [1, 2.5, "x", (1, 2), None, True, {"b": 10**30}]
    }
    new = pickle.dumps([{3}, frozenset({4}), bytearray(b"y"), defaultdict(list, a=[1])], 5)
    assert read_inert(torch_file(tmp_path / "new.pt", new)) == [[3], [4], b"y", {"a": [1]}]


def test_settings_are_unwrapped(tmp_path: Path) -> None:
    def made(name: str, key: str, inner: bytes) -> bytes:
        module = "omegaconf.nodes" if name == "AnyNode" else "omegaconf.dictconfig"
        return f"c{module}\n{name}\n".encode() + b")\x81}(" + text(key) + inner + b"ub"

    leaf = made("AnyNode", "_val", b"K\x07")
    content = b"}(" + text("projection_dim") + leaf + b"u"
    settings = made("DictConfig", "_content", content)
    path = torch_file(tmp_path / "x.pt", checkpoint(settings=settings))
    found = read_inert(path)["encoder_params"]
    assert isinstance(found, Record)
    assert plain(found) == {"projection_dim": 7}
    space = b"cargparse\nNamespace\n)\x81}(" + text("dropout") + b"K\x01ub."
    assert plain(read_inert(torch_file(path, space))) == {"dropout": 1}
    device = reduced("torch", "device", "cpu") + b"."
    assert plain(read_inert(torch_file(path, device))) is None


def test_settings_that_explode_or_loop_are_refused() -> None:
    bomb: list[Any] = []
    for _ in range(40):
        bomb = [bomb, bomb]
    loop = Record("omegaconf.dictconfig.DictConfig")
    loop.state = {"_content": loop}
    for value in (bomb, loop):
        with pytest.raises(CheckpointError, match="too large or nested"):
            plain(value)


def test_tensors_may_not_reach_beyond_their_data(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": torch.arange(6.0)}, path)
    entry = read_inert(path)["a"].entry

    def tensor(numel: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        LazyTensor(path, entry, torch.float32, numel, offset, shape, stride).read()

    tensor(6, 0, (2, 3), (3, 1))
    tensor(6, 6, (0,), (1,))
    for numel, offset, shape, stride in [
        (6, 0, (7,), (1,)),
        (6, 1, (6,), (1,)),
        (6, 0, (2, 3), (4, 1)),
        (6, 0, (10**12,), (0,)),
        (6, 0, (2**40, 2**40), (1, 1)),
        (5, 0, (5,), (1,)),
        (7, 0, (6,), (1,)),
    ]:
        with pytest.raises(CheckpointError, match=r"x\.pt"):
            tensor(numel, offset, shape, stride)
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        LazyTensor(path, "no/such", torch.float32, 6, 0, (6,), (1,)).read()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be read"),
        (b"\x80\x02}(", "cannot be read"),
        (b"\x80\x02}", "cannot be read"),
        (b".", "cannot be read"),
        (b"h\x05.", "cannot be read"),
        (b"]K\x01K\x02s.", "corrupt"),
        (b"}K\x01a.", "corrupt"),
        (b"}(K\x01u.", "cannot be read"),
        (b"}](K\x01ls.", "as the key of a dictionary|cannot be read"),
        (b"K\x01)R.", "corrupt"),
        (b"I9" + b"9" * 5000 + b"\n.", "cannot be read"),
        (b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.", "as the key of a dictionary"),
        (b"\x80\x02" + b"0" * 100 + b".", "cannot be read"),
        (b"\x80\x05\x97.", "refuses the opcode NEXT_BUFFER"),
        (b"N" * (4 * 2**20 + 1), "larger than it may be"),
    ],
)
def test_a_damaged_pickle_is_an_error_with_the_files_name(
    data: bytes, says: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=says) as error:
        read_inert(torch_file(tmp_path / "x.pt", data))
    assert "x.pt" in str(error.value)


def test_archives_that_torch_would_not_write(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "x.pt", checkpoint(), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        read_inert(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(CheckpointError, match=r"not one of torch\.save"):
        read_inert(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", checkpoint())
        archive.writestr("a/byteorder", "big")
    with pytest.raises(CheckpointError, match="big-endian"):
        read_inert(path)
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_inert(path)


def test_no_flipped_or_lost_byte_gives_another_error(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"model_dict": {"a": torch.ones(3)}, "epoch": 3}, path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 11):
        flipped = whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :]
        for damaged in (flipped, whole[:position]):
            path.write_bytes(damaged)
            try:
                realised(read_inert(path))
            except CheckpointError as error:
                assert "x.pt" in str(error)
