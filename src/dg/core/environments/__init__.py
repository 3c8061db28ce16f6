"""Environments: where they answer, what they are configured with, and their secrets."""
