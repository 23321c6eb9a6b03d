"""The cast server: services, policy, state, console and the operator's command line."""
