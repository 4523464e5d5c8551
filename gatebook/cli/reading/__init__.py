"""What the commands that read have in common: asking a Gatebook, here or elsewhere, and showing what it answers."""
