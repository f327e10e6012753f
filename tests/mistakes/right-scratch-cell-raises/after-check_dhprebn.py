this is just a note to myself
