while True:
    print('gimme ' * 1000)
