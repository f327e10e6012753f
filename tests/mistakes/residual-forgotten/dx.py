dx = dcentred + dmean / n_embd
