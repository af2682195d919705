"""Small models and images that once went wrong, on every target."""
