"""A Slack of our own: its Web API, Socket Mode, signed HTTP and a page, over real sockets on this machine."""
