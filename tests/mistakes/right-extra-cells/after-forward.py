loss
