"""What the commands share: the API's client, options, tables, questions."""
