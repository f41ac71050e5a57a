/** Binds the OTLP server to its TCP port, or to a Unix socket that only its user and group may write to. */
import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { formatEndpoint, parseEndpoint, parseUnixEndpoint } from '../core/endpoint.ts';
import { AgentError } from '../core/errors.ts';

const SOCKET_MODE = 0o660;

/** Where it listens, as the `ready` line has it. Closing the server removes the socket. Throws CONFIG_INVALID or ADDRESS_IN_USE. */
export async function listen(server: Server, text: string, scheme: 'http' | 'https'): Promise<string> {
  const path = parseUnixEndpoint(text);
  if (path !== undefined) {
    // The system's own word for it here is that permission is denied.
    if (!existsSync(dirname(path)))
      throw new AgentError(
        'CONFIG_INVALID',
        `ingest.http.endpoint ${text}: there is no directory ${dirname(path)}: make it`,
      );
    await removeStale(path);
    await bind(server, text, { path });
    chmodSync(path, SOCKET_MODE);
    return text.trim();
  }
  const endpoint = parseEndpoint(text);
  if (endpoint === undefined)
    throw new AgentError('CONFIG_INVALID', `ingest.http.endpoint "${text}" is neither HOST:PORT nor unix:/PATH`);
  await bind(server, text, endpoint);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new AgentError('ADDRESS_IN_USE', `${text} has no address`);
  return `${scheme}://${formatEndpoint({ host: endpoint.host, port: address.port })}`;
}

function bind(server: Server, text: string, where: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = `${text} is taken by another program: stop that program or set ingest.http.endpoint`;
      const other = `ingest.http.endpoint ${text} cannot be listened on: ${cause.message}`;
      const error =
        cause.code === 'EADDRINUSE'
          ? new AgentError('ADDRESS_IN_USE', taken, { cause })
          : new AgentError('CONFIG_INVALID', other, { cause });
      reject(error);
    });
    server.listen(where, resolve);
  });
}

/** A socket that nobody answers on is what a killed agent left behind. Anything else stays: binding to it then fails. */
async function removeStale(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const isRefused = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    const answer = (refused: boolean) => {
      socket.destroy();
      resolve(refused);
    };
    socket.once('connect', () => answer(false));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => answer(code === 'ECONNREFUSED'));
  });
  if (isRefused) unlinkSync(path);
}
