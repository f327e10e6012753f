dprobs = 'right'
