"""What must be true before a deployment may take its lane. Gates hold no lane themselves."""
