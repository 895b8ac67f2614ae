"""Keys are kept as digests and sessions end; what could not guard anything is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dpr.errors import SettingsError
from dpr.serve.keys import SESSION_SECONDS, Keys

ASK, CHANGE = "ask-0123456789abcdef", "change-0123456789abcdef"


def test_a_key_has_the_role_it_was_given_for() -> None:
    keys = Keys.of([ASK, "another-0123456789"], [CHANGE])
    assert keys.role(ASK) == keys.role("another-0123456789") == "ask"
    assert keys.role(CHANGE) == "change"
    for other in ("", ASK[:-1], ASK + " ", ASK.upper(), "é" * 20):
        assert keys.role(other) is None


def test_files_and_environment_give_keys_or_their_digests(tmp_path: Path) -> None:
    digest = hashlib.sha256(ASK.encode()).hexdigest()
    (tmp_path / "keys").write_text(f"# of the team\n\nsha256:{digest}\n", encoding="utf-8")
    (tmp_path / "change").write_text(CHANGE, encoding="utf-8")
    environment = {"DPR_SERVE_KEYS": "third-0123456789abc, fourth-0123456789abc"}
    keys = Keys.read(tmp_path / "keys", tmp_path / "change", environment)
    shown = [ASK, CHANGE, "third-0123456789abc", "fourth-0123456789abc", f"sha256:{digest}"]
    assert [keys.role(one) for one in shown] == ["ask", "change", "ask", "ask", None]
    assert not Keys.read(environment={})


def test_no_key_is_kept_or_shown_as_it_is() -> None:
    keys = Keys.of([ASK], [CHANGE])
    shown = repr(keys) + repr(vars(keys))
    assert ASK not in shown
    assert CHANGE not in shown
    assert keys.secret.hex() not in repr(keys)


@pytest.mark.parametrize(
    ("ask", "change", "message"),
    [
        (["short"], [], "5 characters; give at least 16"),
        (["with a space 0123456789"], [], "without spaces"),
        (["sha256:abc"], [], "64 hexadecimal digits"),
        ([ASK], [ASK], "keys of their own"),
        ([f"sha256:{hashlib.sha256(ASK.encode()).hexdigest()}"], [ASK], "keys of their own"),
    ],
)
def test_keys_that_guard_nothing_are_refused(
    ask: list[str], change: list[str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        Keys.of(ask, change)
    assert ASK not in str(caught.value)


def test_files_without_keys_are_refused(tmp_path: Path) -> None:
    """An empty file would open the server to everybody."""
    (tmp_path / "empty").write_text("# none yet\n", encoding="utf-8")
    for name in ("empty", "absent"):
        with pytest.raises(SettingsError, match=name):
            Keys.read(tmp_path / name, environment={})


def test_an_environment_without_keys_in_it_is_refused() -> None:
    for empty in ("", " , "):
        with pytest.raises(SettingsError, match="DPR_SERVE_KEYS is set and empty"):
            Keys.read(environment={"DPR_SERVE_KEYS": empty})


def test_a_session_lasts_its_time_and_is_of_a_key_and_a_process() -> None:
    keys = Keys.of([ASK], [CHANGE])
    session = keys.session(ASK, now=1000.0)
    assert session is not None
    assert ASK not in session
    assert keys.in_session(session, now=1000.0 + SESSION_SECONDS)
    assert not keys.in_session(session, now=1001.0 + SESSION_SECONDS)
    assert keys.session("nobody-0123456789ab") is None
    assert not Keys.of([ASK], [CHANGE]).in_session(session, now=1000.0)  # another secret
    assert not Keys((), keys.change, keys.secret).in_session(session, now=1000.0)  # key withdrawn


@pytest.mark.parametrize("at", [0, 5, 12, -1])
def test_a_session_that_was_altered_is_none(at: int) -> None:
    keys = Keys.of([ASK])
    session = keys.session(ASK) or ""
    place = at % len(session)
    altered = session[:place] + ("1" if session[place] != "1" else "2") + session[place + 1 :]
    assert keys.in_session(session)
    assert not keys.in_session(altered)
    for nonsense in ("", ".", "1.2", session.replace(".", ""), "9" * 5000 + "." + "0" * 64):
        assert not keys.in_session(nonsense)
