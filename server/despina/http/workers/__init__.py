"""More than one process in front of the models (`--http-workers`).

One process, the owner, loads the models and runs them, as a server with a single process does. Front ends accept on the
HTTP port, each with a listening socket of its own, and do what costs time per request: framing, decoding, checking,
encoding. Three things connect a front end with its owner:

    channel   a socket with small frames (`messages`): run this request, here is its answer; or, answer this request
    arenas    two pieces of shared memory (`arena`): tensors of requests, and tensors of results. The side that writes
              tensors hands out the slots; the other side says when it has read them.
    door      a socket through which the front end passes the owner one end of a new connection, on which it then talks
              HTTP to the owner's own application

A front end answers a request itself only if it is plain, known and right. Other infer requests (tracing, sequences,
shared memory of clients, every mistake) it passes on as they came, and their replies come back so (`remote_exchanges`,
`owner_exchanges`). Everything else it relays through a door connection. So whatever depends on the server's state
exists once and reads the same with any number of processes.

What a front end knows of a model is only a copy. Every frame names the very model object it was made for, and the owner
runs it only if that one would answer the request at this moment. If not, the front end forgets the model and passes the
request on.
"""
