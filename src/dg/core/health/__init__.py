"""Health: what probes find out about the services of environments, and what follows from it."""
