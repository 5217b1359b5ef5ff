"""Ready callbacks for libraries that have a training loop of their own."""
