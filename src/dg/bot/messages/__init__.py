"""What is shown in Slack, as pure functions from what is so; within Slack's limits by construction."""
