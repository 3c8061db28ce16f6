"""The dashboard in a browser: `dg web` serves it, each tab with a process and its own person's rights."""
