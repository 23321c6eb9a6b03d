"""The four-word code of a key: what two people compare when nothing else vouches for a server.

A machine that waits for approval has one too: its screen and the console show the code of the key that
it made at its start. That lives for one boot and is seen only there, so it is stretched less: a server
may have five hundred of them to compute at once.

Each word stands for one byte, so a code has 32 bits. That alone could be forged by making keys until
one fits (2^32 of them, hours); the key is therefore stretched with scrypt (RFC 7914) first, which
costs 0.1 s and 32 MiB a try: some 13 processor-years to hit one given code.
The words are plain, short, and differ within their first four letters.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

CODE_WORDS = 4

_LIST = """
acid acorn actor alarm album amber anchor angle ankle apple april apron arch arena arrow atlas attic
aunt axle bacon badge bagel baker bamboo banjo barn basin beach bead bean bell bench berry bike
birch blade boat bone book boot bottle bowl box brain brick bridge broom brush bucket bulb butter
ballet cabin cable cactus cake camel candle canoe canvas carpet castle cedar cello chain chalk
cherry chess chin cider circus clay clock cloud clover coal cobra cocoa coffee comet compass copper
coral cotton cradle crane crayon crown daisy dawn deck deer denim desert diamond dinner dock dolphin
donkey door dragon drum duck eagle earth echo elbow elm ember engine fabric falcon farm feather
fence ferry fig finger fire flag flame flute fog forest fossil fox frog garden garlic ghost ginger
glass globe glove goat gold goose grape gravel guitar hammer harbor harp hat hawk hazel helmet heron
hill hinge honey hook horse hotel igloo ink iris island ivory jacket jaguar jam jelly jewel jungle
juniper kayak kettle key kite kiwi koala ladder lagoon lake lamp lantern laser lava leaf lemon
lentil lily lion lizard lotus lunch magnet mango maple marble meadow medal melon metal mint mirror
moon moss motor mouse museum napkin needle nest night noodle oak oasis ocean olive onion opera
orange orbit otter owl oyster paddle palm panda paper parrot peach pearl pencil pepper piano pigeon
pilot pine pirate planet plum pocket pond pony potato prism pumpkin puzzle quartz quilt rabbit radio
raven ribbon river robin rocket rose saddle salmon tulip violin walnut
"""
_WORDS = tuple(_LIST.split())


@lru_cache(maxsize=64)
def code_words(key: bytes) -> str:
    """The code of the public key ``key``: four words joined by hyphens, always the same."""
    return _words(key, b"fleetcast key code", 1 << 15)


@lru_cache(maxsize=1024)
def machine_words(key: bytes) -> str:
    """The code of a client's public key: as above, of 4 MiB and some 10 ms."""
    return _words(key, b"fleetcast machine code", 1 << 12)


def _words(key: bytes, salt: bytes, cost: int) -> str:
    stretched = hashlib.scrypt(key, salt=salt, n=cost, r=8, p=1, maxmem=64 << 20, dklen=CODE_WORDS)
    return "-".join(_WORDS[byte] for byte in stretched)
