"""What hosts of repositories report: pushes, tags, releases, for which pipelines ask for deployments."""
