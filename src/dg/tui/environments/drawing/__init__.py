"""How what the environments screen shows is drawn: pure functions from models to rows and pieces."""
