"""Deployments: the list, one of them with its files, and what is changed by them, of them and in lanes."""
