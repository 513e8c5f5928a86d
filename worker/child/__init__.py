"""The process that does one job: reads its data, computes, and says what came of it."""
