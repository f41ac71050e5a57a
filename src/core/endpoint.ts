/** "127.0.0.1:4318" and "[::1]:4318" to host and port, and whether a host is loopback. */
import { BlockList, isIP } from 'node:net';

export interface Endpoint {
  host: string;
  /** 0 means any free port. */
  port: number;
}

/** Host and port, or undefined when it is no endpoint. An empty host (":4318") listens everywhere, as in the Collector. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]*)):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (match === null || port > 65535) return undefined;
  if (match[1] !== undefined && isIP(match[1]) !== 6) return undefined;
  return { host: match[1] ?? (match[2] || '::'), port };
}

/** The same as text, for URLs: IPv6 hosts get their brackets back. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True when only this machine can reach the host. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const family = isIP(host);
  if (family === 0) return false;
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}
