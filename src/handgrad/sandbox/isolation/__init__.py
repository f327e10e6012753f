"""The layers between a child process and the machine: namespaces, landlock, seccomp, limits."""
