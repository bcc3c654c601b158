"""What is a deal worth, and what is it worth to learn."""
