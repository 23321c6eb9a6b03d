"""Looking at this host and its networks, changing nothing: the facts that ``castcore.doctor`` judges."""
