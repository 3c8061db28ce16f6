"""The sandbox: a service, its hosts and a server, and the story of one bad release told on them."""
