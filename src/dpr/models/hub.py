"""Where a model's files are: a local folder, or a repository on the Hugging Face hub.

Takes a folder or repository name and file names, gives paths of files on this machine. Knows
nothing of what the files hold. It is the only module here that may use the network, and does so
only for a name that is no folder here; ``HF_HUB_OFFLINE=1`` or ``local_files_only=True``
restricts it to files that were downloaded before.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from dpr.errors import CheckpointError, SettingsError
from dpr.models.files import is_plain_name

_REPO_ID = re.compile(r"[\w\-][\w.\-]*(/[\w\-][\w.\-]*)?")


@dataclass(frozen=True, slots=True)
class HubOptions:
    """How to reach a repository; the fields mean what they mean in ``huggingface_hub``.

    Attributes:
        subfolder: the folder inside ``name`` that holds the model; also used for local folders.
        revision: branch, tag or commit; ignored for local folders.
        cache_dir: where downloads are kept; None: huggingface_hub's own place.
        local_files_only: never use the network.
        token: access token, or True for the stored one.
        force_download: download again what the cache has.
    """

    subfolder: str = ""
    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    local_files_only: bool = False
    token: str | bool | None = None
    force_download: bool = False

    def __post_init__(self) -> None:
        parts = (
            *PurePosixPath(self.subfolder).parts,
            *PureWindowsPath(self.subfolder).parts,
        )
        if "\0" in self.subfolder or any(p == ".." or p[0] in "/\\" or ":" in p for p in parts):
            raise SettingsError(
                f"subfolder={self.subfolder!r} leaves the model's folder; give a relative path "
                "without '..', for example 'question_encoder'"
            )

    @classmethod
    def take(cls, keywords: dict[str, Any]) -> HubOptions:
        """Take (and remove) the options from a dictionary of keywords."""
        names = [name for name in cls.__slots__ if name in keywords]
        given = {name: keywords.pop(name) for name in names}
        if given.get("subfolder") is None:
            given.pop("subfolder", None)
        return replace(cls(), **given)


def find_files(
    name_or_path: str | os.PathLike[str], filenames: Iterable[str], options: HubOptions
) -> Path | None:
    """The first of ``filenames`` that the model has, as a path on this machine; None: none of them.

    Args:
        name_or_path: a folder, or the id of a repository on the hub (``owner/name``).
        filenames: plain file names, in the order of preference.
        options: where to look and how.

    Raises:
        CheckpointError: no such folder or repository, or it cannot be reached.
    """
    folder = local_folder(name_or_path, options)
    for filename in filenames:
        if not is_plain_name(filename):
            raise CheckpointError(
                f"{name_or_path}: refuses the file name {filename!r}: only plain file names "
                "inside the model's folder are read, no '/', '\\', ':' or '..'"
            )
        if folder is None:
            found = _download(os.fspath(name_or_path), filename, options)
        else:
            path = folder / filename
            found = path if path.is_file() else None
        if found is not None:
            return found
    return None


def local_folder(name_or_path: str | os.PathLike[str], options: HubOptions) -> Path | None:
    """The local folder that ``name_or_path`` names; None if it is a hub id instead.

    Raises:
        CheckpointError: it is neither.
    """
    name = os.fspath(name_or_path)
    if "\0" in name or not name:
        raise CheckpointError(
            f"{name!r}: there is no such folder; a name has no NUL characters and is not empty"
        )
    root = Path(os.path.expanduser(name))  # noqa: PTH111 (Path.expanduser fails for no such user)
    if root.is_dir():
        folder = root / options.subfolder
        if folder.is_dir():
            return folder
        raise CheckpointError(f"{root} has no folder {options.subfolder!r}")
    if root.is_file():
        raise CheckpointError(
            f"{name} is a file; give the folder that holds config.json and the weights "
            "(a checkpoint of the original DPR code, *.cp, becomes such a folder by: "
            f"dpr convert {name} --to FOLDER)"
        )
    looks_like_path = isinstance(name_or_path, os.PathLike) or name.startswith((".", "~", os.sep))
    if looks_like_path or not _REPO_ID.fullmatch(name):
        raise CheckpointError(
            f"{name}: there is no such folder, and it is not the id of a hub repository "
            "(owner/name); check the path"
        )
    return None


def _download(repo_id: str, filename: str, options: HubOptions) -> Path | None:
    """The path of one file of a hub repository in the local cache; None if it has none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        path = hf_hub_download(
            repo_id,
            filename,
            subfolder=options.subfolder or None,
            revision=options.revision,
            cache_dir=None if options.cache_dir is None else os.fspath(options.cache_dir),
            local_files_only=options.local_files_only,
            token=options.token,
            force_download=options.force_download,
        )
    except LocalEntryNotFoundError:
        return None  # offline and not downloaded: the caller says what it looked for
    except EntryNotFoundError:
        return None
    except GatedRepoError as error:
        raise CheckpointError(
            f"{repo_id} on the hub is gated: accept its terms there and pass token=..."
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{repo_id} on the hub has no revision {options.revision!r}"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{repo_id}: no folder of that name here, and no such repository on the hub "
            "(or it is private: pass token=...)"
        ) from error
    except (HFValidationError, OSError, ValueError) as error:
        raise CheckpointError(f"{repo_id}: cannot get {filename} from the hub: {error}") from error
    return Path(path)
