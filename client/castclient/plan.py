"""Before the first byte is written: is this the image the cast names, and which disk takes it? Pure."""

from __future__ import annotations

from collections.abc import Iterable

from castcore.cast.descriptor import CastDescriptor
from castcore.disk import DiskFacts, Fit, Rules, Wishes, choose_targets, plan_restore, refusal
from castcore.errors import Refused, Untrusted
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


def pick_target(
    manifest: Manifest, disks: Iterable[DiskFacts], *, named: bool = False, rules: Rules = ()
) -> DiskFacts:
    """The disk that takes the image: the one given when it was ``named``, else the one of ``disks``
    that ``rules`` choose, else the only one it can be.

    Raises Refused (no disk, or several, or an image of several disks), InUse, DoesNotFit with every
    reason.
    """
    if len(manifest.disks) != 1:
        raise Refused(
            f"the image {manifest.name} holds {len(manifest.disks)} disks; a cast writes one",
            hint="cast an image of one disk",
        )
    targets = list(disks) if named else choose_targets(1, disks, rules)
    verdict = plan_restore(manifest.name, manifest.disks, targets, Wishes(check=False, verify=True))
    if isinstance(verdict, Fit):
        raise refusal(manifest.name, verdict)
    return verdict.targets[0]
