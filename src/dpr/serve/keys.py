"""Who may ask, and who may change documents: API keys, kept as hashes, and signed-in sessions.

Takes keys from files and the environment; tells the role of who shows one. Knows nothing of HTTP.
A key that is long and random needs no slow hash: SHA-256 of it cannot be turned back.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dpr.errors import SettingsError

Role = Literal["ask", "change"]
ENVIRONMENT: Mapping[Role, str] = {"ask": "DPR_SERVE_KEYS", "change": "DPR_SERVE_CHANGE_KEYS"}
SHORTEST = 16
SESSION_SECONDS = 12 * 3600
_HASHED = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Keys:
    """Digests of keys by role; false where there are none. Who may change may also ask.

    Attributes:
        anybody: may ask, where the keys are for changes alone.
        secret: signs sessions; those of another server are not known.
    """

    ask: tuple[bytes, ...] = ()
    change: tuple[bytes, ...] = ()
    anybody: bool = False
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def __post_init__(self) -> None:
        if self.anybody and self.ask:
            raise SettingsError(
                "there are keys for asking (--keys FILE, or DPR_SERVE_KEYS), and --without-keys "
                "lets everybody ask; leave one of the two out"
            )

    @classmethod
    def of(cls, ask: Iterable[str] = (), change: Iterable[str] = ()) -> Keys:
        """Keys as they stand in files: themselves, or ``sha256:`` and the digest in hex.

        Raises:
            SettingsError: a key that is too short, or stands under both roles.
        """
        keys = cls(tuple(map(_digest, ask)), tuple(map(_digest, change)))
        if set(keys.ask) & set(keys.change):
            raise SettingsError(
                "a key for asking is also one for changing documents; give keys of their own"
            )
        return keys

    @classmethod
    def read(
        cls,
        ask: Path | None = None,
        change: Path | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Keys:
        """Keys of files, a line each (empty ones and those with # in front aside), and of the
        environment (``DPR_SERVE_KEYS``, ``DPR_SERVE_CHANGE_KEYS``), with commas between.

        Raises:
            SettingsError: a file that cannot be read or has no key; otherwise as ``of``.
        """
        return cls.of(
            [*_lines(ask), *_words(environment, ENVIRONMENT["ask"])],
            [*_lines(change), *_words(environment, ENVIRONMENT["change"])],
        )

    def __bool__(self) -> bool:
        return bool(self.ask or self.change)

    @property
    def asked(self) -> bool:
        """Whether who asks has to show one."""
        return bool(self) and not self.anybody

    def role(self, key: str) -> Role | None:
        """What a key allows. Takes the same time whichever it is, or if it is none."""
        return self._role_of(_hashed(key), lambda one: one)

    def session(self, key: str, now: float | None = None) -> str | None:
        """What a signed-in browser shows instead of the key, for some hours; None: no such key."""
        digest = _hashed(key)
        if self._role_of(digest, lambda one: one) is None:
            return None
        until = int(time.time() if now is None else now) + SESSION_SECONDS
        return f"{until}.{self._signed(until, digest).hex()}"

    def in_session(self, session: str, now: float | None = None) -> bool:
        """Whether a session was begun here with a key that still counts. It allows asking only."""
        until, _, signed = session.partition(".")
        if not re.fullmatch(r"[0-9]{1,12}", until) or not re.fullmatch(r"[0-9a-f]{64}", signed):
            return False
        if int(until) < (time.time() if now is None else now):
            return False
        given = bytes.fromhex(signed)
        return self._role_of(given, lambda one: self._signed(int(until), one)) is not None

    def _role_of(self, given: bytes, made: Callable[[bytes], bytes]) -> Role | None:
        found: Role | None = None
        roles: tuple[tuple[Role, tuple[bytes, ...]], ...] = (
            ("ask", self.ask),
            ("change", self.change),
        )
        for role, digests in roles:
            for digest in digests:
                if hmac.compare_digest(given, made(digest)):
                    found = role
        return found

    def _signed(self, until: int, digest: bytes) -> bytes:
        return hmac.digest(self.secret, f"{until}.".encode() + digest, "sha256")


def _hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _digest(key: str) -> bytes:
    if hashed := _HASHED.fullmatch(key):
        return bytes.fromhex(hashed[1])
    if key.startswith("sha256:"):
        raise SettingsError(
            "a key begins with 'sha256:' but 64 hexadecimal digits in lower case do not follow; "
            "write printf %s KEY | sha256sum to get them"
        )
    if len(key) < SHORTEST or not key.isprintable() or not key.isascii() or " " in key:
        raise SettingsError(
            f"a key has {len(key)} characters; give at least {SHORTEST}, printable ASCII without "
            "spaces, best drawn by chance: python -c 'import secrets; "
            "print(secrets.token_urlsafe(32))'"
        )
    return hashlib.sha256(key.encode()).digest()


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: the keys cannot be read: {error}") from error
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise SettingsError(f"{path}: there is no key in it; write one a line")
    return found


def _words(environment: Mapping[str, str], name: str) -> list[str]:
    words = [word.strip() for word in environment.get(name, "").split(",") if word.strip()]
    if name in environment and not words:
        # A secret that failed to arrive must not open the server to everybody.
        raise SettingsError(f"{name} is set and empty; put keys in it, or leave it unset")
    return words
