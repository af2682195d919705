"""What no table knows, asked of the compiler itself: parts of the very model, tried and remembered."""
