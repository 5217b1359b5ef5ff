"""How fast are training loops beside each other, and how sure is that? Nothing is imported here."""
