"""How the schema of the database came to be what ``tables`` says: one revision after the other."""
