"""Programs that nobody has read, run where they can do no harm; see `pool` for what is held off and what is not."""
