"""The line behind `:`: what it knows, what may come next, what becomes of it."""
