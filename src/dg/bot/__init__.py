"""The Slack bot: a surface over the core, beside the API in the same process."""
