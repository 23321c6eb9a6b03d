"""The detached signature of an image: ``manifest.sig`` beside ``manifest.json``.

It covers the manifest's bytes, which name the index's digest, which names every chunk: one
signature proves the whole image.
"""

from __future__ import annotations

from castcore.errors import BadImage, Untrusted
from castcore.trust import KEY_SIZE, SIGNATURE_SIZE, SigningKey, verify

PURPOSE = "image manifest"
SIGNATURE_FILE_SIZE = KEY_SIZE + SIGNATURE_SIZE


def sign_manifest(manifest: bytes, key: SigningKey) -> bytes:
    """The signature file of the manifest's bytes: the public key, then the signature."""
    return key.public + key.sign(PURPOSE, manifest)


def signer(manifest: bytes, signature_file: bytes) -> bytes:
    """The public key that signed ``manifest``. Raises BadImage when the signature does not hold.

    Whether that key is to be trusted is the caller's question.
    """
    if len(signature_file) != SIGNATURE_FILE_SIZE:
        raise BadImage(f"a signature file of {len(signature_file)} bytes, not {SIGNATURE_FILE_SIZE}")
    public, signature = signature_file[:KEY_SIZE], signature_file[KEY_SIZE:]
    try:
        verify(public, PURPOSE, manifest, signature)
    except Untrusted:
        raise BadImage("the manifest was changed after it was signed") from None
    return public
