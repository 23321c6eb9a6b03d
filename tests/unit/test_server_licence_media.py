"""Whose licences count, and media that are copies: a server over media in folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from castcore.edge.licence.ledgerfile import LedgerFile
from castcore.licence import SIZE, Use
from castcore.trust import SigningKey
from castserver.accounts.roles import Role

from tests.support.licences import STRICT, TERMS, FolderMedium
from tests.support.licensedlab import counts, create, licensed_lab, machines
from tests.support.serverlab import OPERATOR, ROOT, ServerLab


@pytest.fixture
def medium(tmp_path: Path) -> FolderMedium:
    return FolderMedium(tmp_path / "school")


def test_media_without_licences_are_free_or_refused_as_the_setting_says(medium: FolderMedium) -> None:
    free = licensed_lab(medium)
    (client,) = machines(free, 1)
    assert client.join(create(free, start_clients=1)).is_success
    free.casts.licensing.close()
    strict = licensed_lab(medium, STRICT)
    (client,) = machines(strict, 1)
    answer = client.claim(create(strict, start_clients=1))
    assert answer["why"] == "medium school holds no licence, and this server casts nothing without"
    own = ServerLab(terms=STRICT)
    (client,) = machines(own, 1)
    answer = client.claim(create(own, start_clients=1))
    assert answer["why"] == "image lab has no licence, and this server casts nothing without"


def test_the_console_shows_what_is_left(medium: FolderMedium) -> None:
    lab = licensed_lab(medium)
    assert "<h2>Licences</h2>" not in page(lab)
    lab.casts.licensing.close()
    medium.issue(5, product="office-*", expires=1 << 34)
    medium.issue(5, key=SigningKey(bytes(31) + b"\x09"))
    lab = licensed_lab(medium)
    shown = page(lab)
    assert "5 left" in shown
    assert "office-* · 0 reserved · 0 consumed of 5 · expires 2514-05-30" in shown
    assert "02.lic: licence 00000000 was issued by key" in shown


def page(lab: ServerLab) -> str:
    """The live part of the console, logged in."""
    lab.log_in(Role.VIEWER)
    return str(lab.http.get("/live").text)


def test_a_medium_without_a_ledger_is_free_unless_licences_lie_on_it(medium: FolderMedium) -> None:
    medium.ledger_path.write_bytes(bytes(SIZE))
    lab = licensed_lab(medium)
    (client,) = machines(lab, 1)
    assert client.claim(create(lab, start_clients=1))["granted"]
    lab.casts.licensing.close()
    medium.issue(5)
    lab = licensed_lab(medium)
    (client,) = machines(lab, 1)
    assert client.claim(create(lab, start_clients=1))["why"] == (
        "licence files lie on medium school, but there is no licence ledger"
    )


def test_a_medium_whose_licences_do_not_count_is_not_free(medium: FolderMedium) -> None:
    medium.issue(5, key=SigningKey(bytes(31) + b"\x09"))
    lab = licensed_lab(medium)
    (client,) = machines(lab, 1)
    answer = client.claim(create(lab, start_clients=1))
    assert answer["why"].startswith("no licence file of medium school counts: 01.lic: licence 00000000")


def test_licences_that_do_not_count_are_named(medium: FolderMedium) -> None:
    medium.issue(5, key=SigningKey(bytes(31) + b"\x09"))
    medium.issue(5, expires=1)
    (medium.folder / "junk.lic").write_bytes(b"{}")
    medium.issue(5, product="office-*")
    lab = licensed_lab(medium)
    (client,) = machines(lab, 1)
    (shown,) = lab.operator("GET", "/licences")
    assert [licence["product"] for licence in shown["licences"]] == ["office-*"]
    notes = {note.partition(":")[0]: note for note in shown["notes"]}
    assert "not trusted" in notes["01.lic"]
    assert "expired" in notes["02.lic"]
    assert "not a licence file" in notes["junk.lic"]
    answer = client.claim(create(lab, start_clients=1))
    assert answer["why"] == "no licence of the medium is for image lab, they are for office-*"


def test_an_older_copy_of_a_ledger_is_refused(medium: FolderMedium, tmp_path: Path) -> None:
    medium.issue(3)
    lab = licensed_lab(medium)
    (client,) = machines(lab, 1)
    counts(lab)
    lab.casts.licensing.close()
    copy = tmp_path / "copy"
    shutil.copy(medium.ledger_path, copy)
    lab.restart()
    client.join(cast := create(lab, start_clients=1))
    client.report("done", cast=cast, root=ROOT)
    assert counts(lab) == (2, 0, 1)
    lab.casts.licensing.close()
    shutil.copy(copy, medium.ledger_path)
    lab.restart()
    (shown,) = lab.operator("GET", "/licences")
    assert "it is an older copy" in shown["problem"]
    client.register()
    answer = client.claim(create(lab, start_clients=1))
    assert "older copy" in answer["why"]
    # The same, changed as often since as the one we know: another past.
    with LedgerFile(medium.ledger_path, 0, SIZE, medium.serial) as file:
        for number in range(2):
            file.reserve(Use("elsewhere", str(number)), "lab")
    lab.restart()
    (shown,) = lab.operator("GET", "/licences")
    assert "another past" in shown["problem"]


def test_a_ledger_on_another_disk_is_refused(medium: FolderMedium) -> None:
    medium.issue(3)
    lab = licensed_lab(medium)
    counts(lab)
    lab.casts.licensing.close()
    medium.serial = "OTHER"
    lab.restart()
    (shown,) = lab.operator("GET", "/licences")
    assert "belongs to the USB disk with serial number 4C530001" in shown["problem"]


def test_one_licence_counts_in_one_ledger_only(medium: FolderMedium, tmp_path: Path) -> None:
    medium.issue(3)
    lab = licensed_lab(medium)
    counts(lab)
    lab.casts.licensing.close()
    other = FolderMedium(tmp_path / "other", serial="FFFF")
    other.issue(3)
    again = ServerLab(lab.database, ledgers=other, terms=TERMS)
    (shown,) = again.operator("GET", "/licences")
    assert shown["licences"] == []
    assert "not only in" in shown["notes"][0]


def test_strays_of_another_server_go_back_by_hand(medium: FolderMedium) -> None:
    medium.issue(3)
    elsewhere = licensed_lab(medium)
    (client,) = machines(elsewhere, 1)
    client.claim(create(elsewhere, start_clients=1))
    elsewhere.casts.licensing.close()
    lab = licensed_lab(medium)
    (own,) = machines(lab, 1)
    own.claim(create(lab, start_clients=1))
    assert counts(lab) == (1, 2, 0)
    assert lab.operator("POST", "/licences/school/release") == {"released": 1}
    assert counts(lab) == (2, 1, 0)
    missing = lab.http.post("/api/v1/licences/nowhere/release", headers=OPERATOR)
    assert missing.status_code == 404
