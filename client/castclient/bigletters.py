"""Words in large letters, made of ``#``: what a person reads across the room. Pure."""

from __future__ import annotations

ROWS = 5
# Five rows of five columns a letter, row by row.
_SHAPES = """
A .###. #...# ##### #...# #...#
B ####. #...# ####. #...# ####.
C .#### #.... #.... #.... .####
D ####. #...# #...# #...# ####.
E ##### #.... ####. #.... #####
F ##### #.... ####. #.... #....
G .#### #.... #..## #...# .####
H #...# #...# ##### #...# #...#
I ##### ..#.. ..#.. ..#.. #####
J ..### ...#. ...#. #..#. .##..
K #...# #..#. ###.. #..#. #...#
L #.... #.... #.... #.... #####
M #...# ##.## #.#.# #...# #...#
N #...# ##..# #.#.# #..## #...#
O .###. #...# #...# #...# .###.
P ####. #...# ####. #.... #....
Q .###. #...# #.#.# #..#. .##.#
R ####. #...# ####. #..#. #...#
S .#### #.... .###. ....# ####.
T ##### ..#.. ..#.. ..#.. ..#..
U #...# #...# #...# #...# .###.
V #...# #...# #...# .#.#. ..#..
W #...# #...# #.#.# ##.## #...#
X #...# .#.#. ..#.. .#.#. #...#
Y #...# .#.#. ..#.. ..#.. ..#..
Z ##### ...#. ..#.. .#... #####
0 .###. #..## #.#.# ##..# .###.
1 ..#.. .##.. ..#.. ..#.. .###.
2 ####. ....# .###. #.... #####
3 ####. ....# .###. ....# ####.
4 #..#. #..#. ##### ...#. ...#.
5 ##### #.... ####. ....# ####.
6 .###. #.... ####. #...# .###.
7 ##### ....# ...#. ..#.. ..#..
8 .###. #...# .###. #...# .###.
9 .###. #...# .#### ....# .###.
% ##..# ##.#. ..#.. .#.## #..##
"""
_LETTERS = {line[0]: line[1:].split() for line in _SHAPES.split("\n") if line}
_BLANK = ["." * 3] * ROWS


def big(word: str, width: int, height: int) -> list[str]:
    """``word`` as lines of ``#`` and blanks, as large as ``width`` columns and ``height`` rows allow.

    Letters without a shape become blanks; a word that does not fit at all is one plain line.
    """
    for gap in ("..", "."):  # closer together only where they would not fit at all
        rows = [gap.join(_LETTERS.get(letter, _BLANK)[row] for letter in word) for row in range(ROWS)]
        for down in range(max(height // ROWS, 1), 0, -1):
            # A character is about twice as high as wide.
            for across in (2 * down, down):
                if len(rows[0]) * across <= width and ROWS * down <= height:
                    return [_wide(row, across) for row in rows for _ in range(down)]
    return [word]


def _wide(row: str, across: int) -> str:
    return "".join(("#" if cell == "#" else " ") * across for cell in row)
