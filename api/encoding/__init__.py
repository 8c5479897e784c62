"""Pictures as they are sent: in the format that the client accepts, with what says how they were made."""
