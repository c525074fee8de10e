"""When it runs: definitions, jobs, schedules, sensors, and the command line. The only place a profile is chosen."""
