"""TLS 1.3 and HTTP/1.1 as the programs speak them: server, client, channel binding.

Nothing here knows a route, a session or who may do what: a server hands over the
peer's proven public key, a client proves its own and checks the server's. Modules
are imported one by one, so that the command line loads no server and no pyOpenSSL.
"""
