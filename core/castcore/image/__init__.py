"""The image format: manifest, index, packs; FORMAT.md beside this file is its document."""
