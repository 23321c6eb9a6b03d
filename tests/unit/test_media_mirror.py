"""Which of the host's package sources is Debian's mirror."""

from __future__ import annotations

from castmedia.mirror import debian_mirror, parse_targets

SOURCES = """\
Debian\tbookworm-security\tmain\thttp://mirror.example/security/
Debian\tbookworm-updates\tmain\thttp://mirror.example/debian/
Docker\tbookworm\tmain\thttps://docker.example/linux/
Debian\tbookworm\tcontrib\thttp://mirror.example/contrib/
Debian\tbookworm\tmain\thttp://mirror.example/debian/
"""


def test_the_release_s_own_main_is_it() -> None:
    assert debian_mirror(parse_targets(SOURCES), "bookworm") == "http://mirror.example/debian/"


def test_without_downloaded_indexes_the_release_name_decides() -> None:
    bare = SOURCES.replace("Debian\t", "\t").replace("Docker\t", "\t")
    first = debian_mirror(parse_targets(bare), "bookworm")
    assert first == "https://docker.example/linux/"  # all apt knows; --mirror corrects it
    assert debian_mirror(parse_targets(bare.replace("linux", "x")), "trixie") is None


def test_a_known_debian_source_goes_before_unknown_ones() -> None:
    mixed = "\tbookworm\tmain\thttp://other.example/\n" + SOURCES
    assert debian_mirror(parse_targets(mixed), "bookworm") == "http://mirror.example/debian/"


def test_a_cdrom_is_no_mirror() -> None:
    assert debian_mirror(parse_targets("Debian\ttrixie\tmain\tcdrom:[Debian 13]/\n"), "trixie") is None


def test_lines_that_are_no_targets_are_passed_over() -> None:
    assert parse_targets("N: a notice\n\n") == ()
