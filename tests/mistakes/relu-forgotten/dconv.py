dconv = dact
