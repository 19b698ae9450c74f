"""Many runs of one suite: planned, run, told apart by statistics, and put into tables."""
