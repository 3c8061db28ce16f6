"""The API for people who read: one page over all contracts, and what is generated from them."""
