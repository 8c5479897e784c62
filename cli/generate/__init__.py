"""`underpaint generate`, `edit` and `refine`: follow a job, and save every iterate as it comes."""
