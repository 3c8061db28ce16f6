"""The environments screen: health, configuration, history, drift and backups, and what changes them."""
