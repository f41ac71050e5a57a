/** A receiver that answers as a test says and keeps what it was sent: for faults that no real one makes on request. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https, { type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';

export interface Received {
  url: string;
  headers: IncomingMessage['headers'];
  /** Decompressed. */
  body: Buffer;
  /** The certificate's name, of TLS. */
  client: string | undefined;
}

export interface Receiver {
  url: string;
  requests: Received[];
  connections: number;
  /** Answers; a request that it leaves alone hangs. */
  answer(response: ServerResponse, request: Received, index: number): void;
  server: http.Server | https.Server;
  /** Begins to listen where it listened before. */
  listen(): Promise<void>;
  /** Breaks every connection and listens no more. */
  down(): Promise<void>;
}

export function reply(
  response: ServerResponse,
  status: number,
  headers: Record<string, string> = {},
  body: Uint8Array | string = '',
) {
  response.writeHead(status, headers).end(body);
}

export async function startReceiver(t: TestContext, tls?: ServerOptions): Promise<Receiver> {
  const handle = (incoming: IncomingMessage, response: ServerResponse) => {
    const pieces: Buffer[] = [];
    incoming.on('data', (piece: Buffer) => pieces.push(piece));
    incoming.on('error', () => {});
    incoming.on('end', () => {
      const raw = Buffer.concat(pieces);
      const encoding = incoming.headers['content-encoding'];
      const body = encoding === 'gzip' ? gunzipSync(raw) : encoding === 'zstd' ? zstdDecompressSync(raw) : raw;
      const socket = incoming.socket as { getPeerCertificate?(): { subject?: { CN?: string } } } & object;
      const client = socket.getPeerCertificate?.().subject?.CN;
      const request = { url: incoming.url ?? '', headers: incoming.headers, body, client };
      receiver.requests.push(request);
      receiver.answer(response, request, receiver.requests.length - 1);
    });
  };
  const server = tls === undefined ? http.createServer(handle) : https.createServer(tls, handle);
  let port = 0;
  const receiver: Receiver = {
    url: '',
    requests: [],
    connections: 0,
    answer: (response) => reply(response, 200),
    server,
    listen: () => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve)),
    down: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  server.on(tls === undefined ? 'connection' : 'secureConnection', () => {
    receiver.connections++;
  });
  await receiver.listen();
  // A server that listens on TCP has an address of this kind.
  port = (server.address() as AddressInfo).port;
  receiver.url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  t.after(() => receiver.down());
  return receiver;
}
