dq = dscores @ k
