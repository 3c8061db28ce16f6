"""What happened, as it happens: server-sent events, and the specification's WebSocket."""
