dkept = datt / sums
