"""Before the first byte is written: is this the image the cast names, and which disk takes it? Pure."""

from __future__ import annotations

from collections.abc import Iterable

from castcore.cast.descriptor import CastDescriptor
from castcore.disk import DiskFacts, Fit, Rules, Wishes, choose_targets, plan_restore, refusal
from castcore.errors import Untrusted
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


def pick_targets(
    manifest: Manifest, disks: Iterable[DiskFacts], *, named: bool = False, rules: Rules = ()
) -> tuple[DiskFacts, ...]:
    """The disks that take the image, in its order: those given when ``named``, else the ones of
    ``disks`` that ``rules`` choose, else, for one disk, the only one it can be.

    Raises Refused (no disk, or several and nothing to tell them by), InUse, DoesNotFit with every
    reason.
    """
    targets = list(disks) if named else choose_targets(len(manifest.disks), disks, rules)
    verdict = plan_restore(manifest.name, manifest.disks, targets, Wishes(check=False, verify=True))
    if isinstance(verdict, Fit):
        raise refusal(manifest.name, verdict)
    return verdict.targets
