from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from castcore import canonical
from castcore.edge.licence.licencefiles import issuer_key, licence_files, make_issuer_key, write_licence
from castcore.errors import ExitCode, InUse, NotFound, Refused, Untrusted
from castcore.licence import MOST_BYTES, Licence, issue_licence, open_licence, require_issuer
from castcore.trust import SigningKey
from castserver.__main__ import main
from castserver.cli.licencescreen import end_of
from castserver.wording import date

from tests.support.faultyledger import ISSUER, licence

OTHER = SigningKey(bytes(31) + b"\x02")


def test_a_licence_says_what_was_issued() -> None:
    data = issue_licence(ISSUER, b"\x05" * 16, "office-*", 30, expires=1000, medium="4C53")
    opened = open_licence(data + b"\n")
    assert opened == Licence("05" * 16, "office-*", 30, 1000, "4C53", ISSUER.public.hex())
    assert canonical.encode(json.loads(data)) == data
    assert [opened.covers(image) for image in ("office-2027", "office", "lab")] == [True, False, False]
    assert [opened.expired(now) for now in (999, 1000)] == [False, True]
    assert not open_licence(licence(1)).expired(1 << 40)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 31),
        ("product", "*"),
        ("expires", 0),
        ("medium", ""),
        ("id", "06" * 16),
        ("issuer", OTHER.public.hex()),
        ("signature", "00" * 64),
        ("signature", "xy"),
        ("format", 2),
        ("count", -1),
        ("count", 1 << 70),
        ("count", "30"),
        ("more", 1),
    ],
)
def test_whatever_is_changed_in_it_is_seen(field: str, value: Any) -> None:
    data = issue_licence(ISSUER, b"\x05" * 16, "office-*", 30, expires=1000, medium="4C53")
    changed = json.loads(data) | {field: value}
    with pytest.raises(Untrusted):
        open_licence(canonical.encode(changed))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 3000, b" " * (MOST_BYTES + 1)])
def test_what_is_no_licence_is_told_so(data: bytes) -> None:
    with pytest.raises(Untrusted, match="not a licence file"):
        open_licence(data)


def test_a_signature_for_something_else_is_none() -> None:
    value = json.loads(licence(1))
    unsigned = canonical.encode({k: v for k, v in value.items() if k != "signature"})
    value["signature"] = ISSUER.sign("image manifest", unsigned).hex()
    with pytest.raises(Untrusted):
        open_licence(canonical.encode(value))


@pytest.mark.parametrize(
    "terms",
    [
        {"count": 0},
        {"count": 1_000_001},
        {"product": ""},
        {"product": "a\nb"},
        {"product": "x" * 101},
        {"medium": "s" * 128},
        {"expires": -1},
    ],
)
def test_nonsense_is_not_issued(terms: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="no licence can be issued"):
        issue_licence(ISSUER, bytes(16), **{"product": "*", "count": 1, **terms})


def test_the_longest_licence_fits_its_place() -> None:
    data = issue_licence(
        ISSUER, b"\xff" * 16, "\U0001f4bf" * 100, 1_000_000, expires=253_402_300_799, medium="ß" * 63
    )
    assert len(data) < MOST_BYTES
    assert open_licence(data).count == 1_000_000


def test_only_issuers_that_are_named_are_trusted() -> None:
    own = open_licence(licence(1))
    require_issuer(own, frozenset({ISSUER.public.hex(), OTHER.public.hex()}))
    with pytest.raises(Untrusted, match="not trusted here"):
        require_issuer(own, frozenset({OTHER.public.hex()}))


def test_files_are_new_whole_and_the_keys_owners_alone(tmp_path: Path) -> None:
    key = make_issuer_key(tmp_path / "issuer.key")
    assert issuer_key(tmp_path / "issuer.key") == key
    assert (tmp_path / "issuer.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InUse):
        make_issuer_key(tmp_path / "issuer.key")
    write_licence(tmp_path / "b.lic", b"b")
    write_licence(tmp_path / "a.lic", b"a")
    with pytest.raises(InUse):
        write_licence(tmp_path / "a.lic", b"c")
    assert licence_files(tmp_path) == [(tmp_path / "a.lic", b"a"), (tmp_path / "b.lic", b"b")]
    assert licence_files(None) == licence_files(tmp_path / "none") == []
    (tmp_path / "short.key").write_bytes(b"short")
    with pytest.raises(Untrusted):
        issuer_key(tmp_path / "short.key")
    with pytest.raises(NotFound):
        issuer_key(tmp_path / "no.key")


def test_days_are_over_when_they_end() -> None:
    assert end_of("1970-01-01") == 86400
    assert end_of("never") == 0
    assert date(86400, 0) == "1970-01-01"
    assert date(86400, 86400) == "1970-01-01 (expired)"
    assert date(0, 5) == "never"


def fleetcast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str | Path
) -> tuple[int, dict[str, Any]]:
    """The exit code and the last JSON line of a command."""
    monkeypatch.setattr("sys.argv", ["fleetcast", "licence", *map(str, words), "--json"])
    code = main()
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_from_a_key_to_a_verified_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key, file = tmp_path / "issuer.key", tmp_path / "school.lic"
    code, made = fleetcast(monkeypatch, capsys, "key", key)
    assert code == 0
    terms = ("--product", "office-*", "--count", "40", "--expires", "2999-12-31", "--medium", "4C53")
    code, issued = fleetcast(monkeypatch, capsys, "issue", file, "--key", key, *terms)
    assert (code, issued["count"], issued["issuer"]) == (0, 40, made["issuer"])
    code, shown = fleetcast(monkeypatch, capsys, "show", file)
    assert (code, shown["id"]) == (0, issued["id"])
    code, _ = fleetcast(monkeypatch, capsys, "verify", file, "--issuer", made["issuer"])
    assert code == 0
    code, refused = fleetcast(monkeypatch, capsys, "verify", file, "--issuer", OTHER.public.hex())
    assert (code, refused["event"]) == (ExitCode.UNTRUSTED, "error")
    code, _ = fleetcast(monkeypatch, capsys, "verify", file, "--state", tmp_path / "none")
    assert code == ExitCode.NOT_FOUND
    code, _ = fleetcast(monkeypatch, capsys, "issue", file, "--key", key, "--count", "1")
    assert code == ExitCode.IN_USE
    old = tmp_path / "old.lic"
    fleetcast(monkeypatch, capsys, "issue", old, "--key", key, "--count", "1", "--expires", "2001-01-01")
    code, refused = fleetcast(monkeypatch, capsys, "verify", old, "--issuer", made["issuer"])
    assert (code, "expired" in refused["error"]) == (ExitCode.REFUSED, True)
    file.write_bytes(file.read_bytes().replace(b'"count":40', b'"count":90'))
    code, _ = fleetcast(monkeypatch, capsys, "show", file)
    assert code == ExitCode.UNTRUSTED


def test_the_servers_own_key_issues_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "server.key").write_bytes(ISSUER.seed)
    file, state = tmp_path / "own.lic", ("--state", tmp_path)
    code, issued = fleetcast(monkeypatch, capsys, "issue", file, "--count", "3", *state)
    assert (code, issued["product"], issued["expires"]) == (0, "*", 0)
    assert fleetcast(monkeypatch, capsys, "verify", file, *state)[0] == 0
