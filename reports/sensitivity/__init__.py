"""What does the answer owe to which assumption, claim or evidence."""
