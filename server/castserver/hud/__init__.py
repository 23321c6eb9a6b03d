"""The head-up display of a terminal: the console's live page for a server without a browser."""
