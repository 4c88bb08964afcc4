"""Other ways to command the same devices over the same broker, measured beside the portal."""
