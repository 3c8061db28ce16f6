"""What is told in Slack, where, and in which order: the core's half of the bot, with no HTTP in it."""
