"""What did an upgrade change in my training? Nothing is imported here."""
