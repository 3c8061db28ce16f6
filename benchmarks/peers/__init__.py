"""Programs that run in processes of their own: load clients, and the bare servers that are the floors."""
