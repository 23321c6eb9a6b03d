"""Capturing disks of this machine to a server, over the network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from castcore.edge.image.capture import CaptureOptions, checked, planned
from castcore.edge.image.takein import take_in
from castcore.edge.net.pinned import PinnedHttps
from castcore.edge.upload.uploader import PATIENCE, UploadLost, uploading
from castcore.errors import Refused
from castcore.image import Manifest
from castcore.progress import Progress, ProgressCallback, silent
from castcore.upload import NewUpload

# How often in a row an upload may be lost: a server that always loses it is no use.
MOST_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Captured:
    """An image that is whole at the server: ``manifest`` has its full name and its root.

    ``stored`` is the bytes it takes there.
    """

    manifest: Manifest
    stored: int


def capture_to_server(
    https: PinnedHttps,
    sources: Sequence[Path],
    image: str,
    *,
    order: str = "",
    options: CaptureOptions | None = None,
    patience: float = PATIENCE,
    progress: ProgressCallback = silent,
) -> Captured:
    """Capture the disks ``sources`` as an image called ``image`` ("": the server finds a name).

    ``https`` carries the token of this registered client, which may be replaced meanwhile; the server
    adds the machine's MAC and UUID to the name. A lost link is waited for, ``patience`` seconds each
    time; when the server lost what it had in memory, the disks are read again, and only what is missing
    there is sent. ``options`` as for a capture here; what speaks of the store (``bases``, ``key``) is
    refused. Raises what a capture raises of its sources, NetworkFailed, Refused (the name is taken, the
    operator cancelled it), NoSpace (at the server).
    """
    options = options or CaptureOptions()
    if options.bases or options.key is not None:
        raise Refused("an image captured to a server has no base, and this machine does not sign it")
    found = checked(sources, options)
    with tempfile.TemporaryDirectory(prefix="fleetcast-") as scratch:
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                with planned(found, image or "image", Path(scratch), options, progress) as (raws, plan):
                    new = NewUpload(image, plan, order, options.replace)
                    with uploading(https, new, patience=patience, progress=progress) as sink:
                        manifest = take_in(
                            raws,
                            sink,
                            plan,
                            level=options.level,
                            threads=options.threads,
                            rescue=options.rescue,
                            progress=progress,
                        )
                        return Captured(manifest, sink.stored)
            except UploadLost as error:
                if attempt == MOST_ATTEMPTS:
                    raise
                progress(Progress("capture", 0, 0, f"begins again: {error.what}"))
    raise AssertionError("unreachable")
