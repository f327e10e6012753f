dbnraw = dhpreact.clone()
