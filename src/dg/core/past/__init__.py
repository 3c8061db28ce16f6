"""What ran where at a moment that is over: read from what others wrote, and never changed."""
