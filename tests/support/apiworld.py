"""A server that has one of everything the API can name, so that calls reach what they are about."""

from __future__ import annotations

from pathlib import Path

from castcore.boot import BootEvent, BootStage
from castcore.upload import NewUpload

from tests.support.accounts import PASSWORD
from tests.support.bootorders import FLOPPY
from tests.support.licences import TERMS, FolderMedium
from tests.support.serverlab import FakeClient, ServerLab
from tests.support.uploadlab import SIZE, plan_of

MAC = "52:54:00:aa:00:01"


class ApiWorld:
    """A machine in a cast, one that is captured and uploads, accounts, orders; ``names`` has their ids.

    ``home`` is a folder of its own.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        boot_images, images = home / "boot-images", home / "images"
        for folder in (boot_images, images):
            folder.mkdir()
        (boot_images / "dos.img").write_bytes(FLOPPY)
        medium = FolderMedium(home / "medium")
        medium.issue(9)
        self.lab = ServerLab(boot_images=boot_images, store=images, ledgers=medium, terms=TERMS)
        self.names: dict[str, str] = {
            "interface": "eth1",
            "image": "dos.img",
            "mac": MAC,
            "name": "anna",
        }
        self._people()
        self._machines()

    def _people(self) -> None:
        self.lab.operator("POST", "/users", {"name": "anna", "role": "viewer", "password": PASSWORD})
        issued = self.lab.operator("POST", "/tokens", {"name": "nightly", "role": "viewer"})
        self.names["token"] = issued["id"]
        self.lab.operator("POST", "/reservations", {"mac": MAC, "address": "10.0.1.77"})

    def _machines(self) -> None:
        lab = self.lab
        lab.boots.note(BootEvent(MAC, BootStage.TFTP, "grubx64.efi"))
        self.client = FakeClient(lab, 1).register()
        source = FakeClient(lab, 2).register()
        capture = lab.operator("POST", "/captures", {"client": source.id, "image": "office"})
        raw = self.home / "raw"
        raw.write_bytes(bytes(SIZE))
        upload = NewUpload("mine", plan_of(raw))
        body = upload.encode()
        opened = lab.http.post("/api/v1/uploads", content=body, headers=self.client.headers)
        assert opened.status_code == 201, opened.text
        cast = lab.operator("POST", "/casts", {"image": "lab", "clients": [self.client.id]})
        assert self.client.join(cast["cast"]).is_success
        self.client.report("receiving", cast=cast["cast"], done=30, total=120, multicast=30)
        self.names |= {
            "client": self.client.id,
            "capture": capture["capture"],
            "upload": opened.json()["upload"],
            "cast": cast["cast"],
            "medium": lab.operator("GET", "/licences")[0]["medium"],
        }
