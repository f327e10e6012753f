#DONE :)
