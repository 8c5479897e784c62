"""What the API and the workers share: tables, job moves, reads, previews, wake-ups and settings."""
