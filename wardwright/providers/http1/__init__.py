"""An HTTP/1.1 client for asyncio that does what the gateway needs of one and nothing besides.

From the bytes upwards: `answer` parses, `connection` is one socket, `dialling` opens it, `pool` keeps it, `request` writes what is
sent. There is no task, timer or lock on the path of a request over a kept connection: protocol callbacks fill a buffer, and
the one reader awaits one future at a time.
"""
