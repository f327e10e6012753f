input("next?")
