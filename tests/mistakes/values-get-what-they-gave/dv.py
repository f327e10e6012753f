dv = att @ dmixed
