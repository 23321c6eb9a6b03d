"""Before the first byte is written: is this the image the cast names, and which disk takes it? Pure."""

from __future__ import annotations

from collections.abc import Iterable

from castcore.cast.descriptor import CastDescriptor
from castcore.disk import DiskFacts, ReasonCode, choose_target, fit
from castcore.errors import DoesNotFit, InUse, Refused, Untrusted
from castcore.image import Manifest, parse_manifest
from castcore.trust import digest


def read_manifest(descriptor: CastDescriptor, data: bytes) -> Manifest:
    """The manifest ``data``, proven to be the one the signed descriptor names.

    Raises Untrusted, BadImage.
    """
    if digest(data) != descriptor.manifest_digest:
        raise Untrusted("the manifest that was sent is not the one the cast's descriptor names")
    manifest = parse_manifest(data)
    same = (descriptor.root, descriptor.chunk_count) == (manifest.index_digest, manifest.chunk_count)
    if not same:
        raise Untrusted(f"the cast's descriptor does not speak of the image {manifest.name}")
    return manifest


def pick_target(manifest: Manifest, disks: Iterable[DiskFacts], named: str = "") -> DiskFacts:
    """The disk that takes the image: the one named by path, else the only one it can be.

    Raises Refused (no disk, or several, or an image of several disks), InUse, DoesNotFit with every
    reason.
    """
    if len(manifest.disks) != 1:
        raise Refused(
            f"the image {manifest.name} holds {len(manifest.disks)} disks; a cast writes one",
            hint="cast an image of one disk",
        )
    seen = tuple(disks)
    chosen = tuple(d for d in seen if not named or d.path == named)
    target = chosen[0] if named and chosen else choose_target(chosen)
    disk = manifest.disks[0]
    verdict = fit(disk.layout, disk.in_use, target)
    if not verdict.ok:
        reasons = "; ".join(reason.text for reason in verdict.reasons)
        if all(reason.code is ReasonCode.IN_USE for reason in verdict.reasons):
            raise InUse(reasons, hint="unmount it, or use another disk")
        raise DoesNotFit(
            f"the image {manifest.name} does not go on {target.path}: {reasons}",
            hint="use another disk, or an image of a smaller one",
        )
    return target
