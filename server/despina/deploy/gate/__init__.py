"""The public address of a service: keys, request ids, limits, and the way to the server or the script behind it.

    client ─ ClientConnection ─ Exchange ─ UpstreamConnection ─ inference server or score workers
                                   │
                                 Gate: keys, limits, the Upstreams of the generation that answers now

It works on protocol callbacks and passes body bytes on as they come: nothing is collected, and no task is made for a
request that finds an idle connection.
"""
