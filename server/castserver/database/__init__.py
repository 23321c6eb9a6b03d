"""The database: its tables and their revisions, in a file (SQLite) or on a PostgreSQL server."""
