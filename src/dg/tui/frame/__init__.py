"""What frames each screen, what lies over it, and the questions that are asked there."""
