dcounts = yes(counts)
