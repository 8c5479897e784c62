"""`underpaint generate` and `refine`: follow a job, and save every iterate as it comes."""
