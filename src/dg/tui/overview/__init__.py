"""The overview: the environments as cards side by side, what is under way, what happened."""
