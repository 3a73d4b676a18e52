"""TLS in front of a server that speaks none: `tls_front.py PORT CERTIFICATE BACKEND_PORT`.

Prints the port it listens on. The certificate's file holds its key as well.
"""

import asyncio
import ssl
import sys

port, certificate, backend = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])


async def pass_on(reader, writer):
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def serve(reader, writer):
    try:
        behind, before = await asyncio.open_connection("127.0.0.1", backend)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pass_on(reader, before), pass_on(behind, writer))


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
