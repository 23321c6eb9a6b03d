"""Who may use the server: users, sessions, tokens of scripts, roles."""
