"""What the host of a repository is told about deployments: statuses of commits, and deployments."""
