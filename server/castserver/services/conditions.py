"""Conditional requests: whether a client has a file already (RFC 9110 sections 13.1.2 and 13.1.5).

``tag`` is the opaque text of the file's strong validator, without quotes; "" when it has none.
"""

from __future__ import annotations

import re

_TAGS = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def has_it(if_none_match: str, tag: str) -> bool:
    """Whether the client has the file already: one of its tags is the file's, or it says ``*``."""
    if not tag or not if_none_match:
        return False
    return if_none_match.strip() == "*" or tag in _TAGS.findall(if_none_match)


def range_counts(if_range: str, tag: str) -> bool:
    """Whether a range may be answered as one: a client that has parts of something else needs it whole.

    Only a strong tag proves that, and no date: files here have none.
    """
    return not if_range or (tag != "" and if_range.strip() == f'"{tag}"')
