# Name: Sam
# Student no: 1234567
print("hello")
