"""What runs leave behind and what was concluded: frozen data and its versioned files."""
