/** A link on loopback that carries so many bytes a second towards a server and never stands still. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

const TICK_MS = 20;

export async function slowLink(
  t: { after(undo: () => void): void },
  port: number,
  bytesPerSecond: number,
): Promise<string> {
  const sockets = new Set<Socket>();
  const most = Math.ceil((bytesPerSecond * TICK_MS) / 1000);
  const carry = (client: Socket) => {
    const target = connect(port, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => [client, target].map((one) => one.destroy()));
    }
    client.on('end', () => target.end());
    target.pipe(client);
    // What is not read stays with the sender, as on a link that is full.
    const timer = setInterval(() => {
      const bytes: Buffer | null = client.read(Math.min(most, client.readableLength));
      if (bytes !== null) target.write(bytes);
    }, TICK_MS);
    client.on('readable', () => {}).on('close', () => clearInterval(timer));
  };
  const server = createServer(carry);
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A server that listens on TCP has an address of this kind.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
