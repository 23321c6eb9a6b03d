"""Builds the PXE tree: packages, frozen client, boot image, tree; each stage cached by its inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from castcore.bootsettings import BootSettings
from castcore.progress import ProgressCallback, silent

from castmedia import tree
from castmedia.recipe import recipe
from castmedia.settingsoptions import Choices, archive
from castmedia.stages import INITRD, Options, Stages, check_host, stages

SETTINGS = "settings.cpio"
NOTHING = Choices(BootSettings())


def build(
    output: Path,
    options: Options,
    *,
    choices: Choices = NOTHING,
    say: Callable[[str], None] = lambda _: None,
    progress: ProgressCallback = silent,
) -> dict[str, tree.TreeFile]:
    """Make the PXE tree in ``output``; return its files by role.

    ``choices`` become one more initrd, with the role ``settings``. Raises Refused (not root; ``output``
    is something else), MissingProgram naming all that is missing, BadSettings, NotFound (a file, a
    keymap), NetworkFailed, NoSpace, and run.ProgramFailed when the client cannot be frozen.
    """
    check_host()
    names = {file.name for file in recipe(options.profile).boot_files}
    tree.check_output(output, {INITRD, SETTINGS, *names})
    with stages(options, say=say, progress=progress) as made:
        return write(output, made, choices)


def write(output: Path, made: Stages, choices: Choices) -> dict[str, tree.TreeFile]:
    """Put the tree of the stages ``made`` into ``output``. Raises as :func:`build`."""
    with made.scratch() as scratch:
        debian = made.packages()
        keymap = made.keymap(debian, choices.settings.keymap)
        files = made.boot_files(debian)
        if not choices.says_nothing:
            settings = scratch / SETTINGS
            settings.write_bytes(archive(choices.settings, choices.files, choices.hooks, keymap=keymap))
            files["settings"] = (SETTINGS, settings)
        return tree.write_tree(output, files | {"initrd": (INITRD, made.image(debian))})
