"""Licences in casts: who takes one, what every ledger's past is, what is left."""
