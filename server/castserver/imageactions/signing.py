"""``fleetcast image sign``: the server's key vouches for an image."""

from __future__ import annotations

import argparse
from typing import Any

from castcore.edge.commandline import Screen
from castcore.edge.image.imagefile import Image
from castcore.edge.image.signing import sign_image
from castcore.edge.image.store import image_path
from castcore.edge.image.verify import verify_image
from castcore.errors import NotFound

from castserver.cli.imagekeys import add_key_argument, own_key

NAME = "sign"
HELP = "prove an image, then sign it with this server's key"
EXAMPLE = "fleetcast image sign win11 --store /srv/images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name in the store, or a path")
    add_key_argument(parser)


def run(args: argparse.Namespace, screen: Screen) -> dict[str, Any]:
    """Sign; return whose signature it has now as JSON values."""
    key = own_key(args)
    if key is None:
        raise NotFound(f"no server key in {args.state}", hint="the server makes it at its first start")
    with Image.open(image_path(args.image, args.store)) as image:
        verify_image(image, progress=screen.progress)
        sign_image(image, key)
        screen.say(f"{image.path} is proven, and signed by key {key.public.hex()}")
        return {"image": image.manifest.name, "signed_by": key.public.hex()}
