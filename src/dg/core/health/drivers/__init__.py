"""How probes touch the world, one module for each kind."""
