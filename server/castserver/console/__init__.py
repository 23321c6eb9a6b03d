"""The web console: pages rendered here, kept live by the API's event stream. It decides nothing."""
