"""Webhooks: events of this server, signed and sent to receivers outside."""
