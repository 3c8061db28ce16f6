"""What is changed by deployments, about them, and in lanes: one function for each act."""
