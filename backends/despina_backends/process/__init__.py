"""An instance in a process of its own.

Python threads take turns: while a batch of a short model runs, the thread that serves HTTP goes on, but at its end the
two wait for each other. In a process of its own an instance has its own interpreter. Tensors cross in shared memory
that both have mapped (`places`); a message of some bytes in a pipe says that there is a batch, and another one that it
has run (`messages`). A `recipe` says what to load, `child` is what runs there, `parent` the server's end.
"""
