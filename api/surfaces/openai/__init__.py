"""OpenAI's way of asking for images, and of being answered, over ordinary jobs."""
