"""Whether what runs is what dg deployed."""
