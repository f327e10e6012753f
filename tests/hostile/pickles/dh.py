dh = Evil()
