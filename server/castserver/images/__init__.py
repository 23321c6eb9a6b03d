"""The images of this server: library, network folders, uploads, checks."""
