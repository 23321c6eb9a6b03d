"""Uploads to a :class:`ServerLab` by the real uploader: small raw disks, requests without a net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from castcore.disk import DiskLayout, Extent, Extents, TableType
from castcore.edge.image.takein import take_in
from castcore.edge.net.pinned import PinnedHttps, _status_error
from castcore.edge.upload.uploader import uploading
from castcore.errors import NetworkFailed
from castcore.image import ImageDisk, Manifest, Source
from castcore.units import MIB
from castcore.upload import NewUpload

from tests.support.serverlab import FakeClient

SIZE = 9 * MIB
IN_USE = (Extent(0, 3 * MIB), Extent(4 * MIB + 4096, 3 * MIB))


class LabHttps(PinnedHttps):
    """The requests of one client; the ones that ``broken`` counts down fail as a lost link does."""

    def __init__(self, client: FakeClient) -> None:
        super().__init__("https://testserver", b"")
        self.client = client
        self.asked: list[str] = []
        self.broken = 0
        self.last_before_cut: int | None = None

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        timeout: float,  # noqa: ARG002
        limit: int,
        kind: str = "application/json",
    ) -> bytes:
        self.asked.append(path)
        if self.broken:
            self.broken -= 1
            raise NetworkFailed("the link is lost")
        if self.last_before_cut is not None:
            if not self.last_before_cut:
                raise NetworkFailed("the cable is cut")
            self.last_before_cut -= 1
        headers = {**self.client.headers, "Content-Type": kind}
        answer = self.client.lab.http.request(method, path, content=body, headers=headers)
        if answer.status_code >= 400:
            raise _status_error(self.url, path, answer.status_code, answer.content)
        assert len(answer.content) <= limit
        return answer.content


def plan_of(raw: Path, in_use: Extents = IN_USE, name: str = "image") -> Manifest:
    """The manifest without packs of an image of ``raw``."""
    return Manifest(
        name=name,
        created=1_750_000_000,
        disks=(ImageDisk(DiskLayout(raw.stat().st_size, 512, TableType.NONE), in_use),),
        index_digest=b"",
        chunk_count=0,
        packs=(),
        source=Source(path=raw.name, format="raw"),
    )


def upload(https: LabHttps, raw: Path, image: str, patience: float = 0.0, **wishes: Any) -> Manifest:
    """Upload ``raw`` as the client does; the manifest that it hears of."""
    plan = plan_of(raw)
    with uploading(https, NewUpload(image, plan, **wishes), patience=patience) as sink:
        return take_in([raw], sink, plan)
