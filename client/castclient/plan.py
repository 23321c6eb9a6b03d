"""Before the first byte is written: is this the image the cast names, and which disk takes it? Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from castcore.cast.descriptor import CastDescriptor
from castcore.disk import DiskFacts, Fit, Rules, Wishes, choose_targets, plan_restore, refusal
from castcore.errors import DiskFailed, DoesNotFit, InUse, NotFound, Refused, Untrusted
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


def pick_again(
    pick: Callable[[], tuple[DiskFacts, ...]], before: Sequence[DiskFacts]
) -> tuple[DiskFacts, ...]:
    """What ``pick`` chooses, if these are the disks that an earlier try of the cast chose ``before``.

    One of them may have gone, and the rules would then take another, which nobody meant. Raises
    DiskFailed: they may come back.
    """
    try:
        found = pick()
    except (NotFound, Refused, InUse, DoesNotFit) as error:
        raise _gone(before, error.what) from None
    if [_identity(one) for one in found] != [_identity(one) for one in before]:
        raise _gone(before, f"only {', '.join(one.path for one in found)} would be left to write")
    return found


def _gone(before: Sequence[DiskFacts], why: str) -> DiskFailed:
    names = ", ".join(_identity(one) for one in before)
    return DiskFailed(
        f"the disk that this cast was to be written to ({names}) is not there as it was: {why}",
        hint="check its cable; to take another disk, retry the cast at the server",
    )


def _identity(disk: DiskFacts) -> str:
    return disk.stable_id or disk.path
