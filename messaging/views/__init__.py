"""The pages of messaging: Control and History."""
