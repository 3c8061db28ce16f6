"""The deployments domain over HTTP: each handler is parse, one call of the core, render."""
