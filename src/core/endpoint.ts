/** "127.0.0.1:4318" and "[::1]:4318" to host and port, "unix:/run/otlp.sock" to a path, and who can reach them. */
import { BlockList, isIP } from 'node:net';

interface Endpoint {
  host: string;
  /** 0 means any free port. */
  port: number;
}

/**
 * Host and port, or undefined when it is no endpoint. An empty host (":4318") listens everywhere, and an IPv4 address may have brackets, so
 * that "[${env:POD_IP}]:8888" is one with either: both as in the Collector.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]*)):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (match === null || port > 65535) return undefined;
  if (match[1] !== undefined && isIP(match[1]) === 0) return undefined;
  return { host: match[1] ?? (match[2] || '::'), port };
}

/** The way out where an address has colons of its own, or nothing. */
export function endpointHint(text: string): string {
  return /^[0-9a-fA-F]*:[0-9a-fA-F:.]*:\d*$/.test(text.trim())
    ? ': an IPv6 address stands in brackets, as in [::1]:4318'
    : '';
}

/** What a socket's address has room for, without the NUL that ends it. */
const MOST_PATH_BYTES = 107;

/** The absolute path of a Unix socket, or undefined when it is none. */
export function parseUnixEndpoint(text: string): string | undefined {
  const path = /^unix:(\/[^\0]+)$/.exec(text.trim())?.[1];
  return path === undefined || Buffer.byteLength(path) > MOST_PATH_BYTES ? undefined : path;
}

/** Hosts that a port may listen on, and nobody can name. */
export const EVERYWHERE: readonly string[] = ['0.0.0.0', '::'];

/** True when other machines may reach what listens there. */
export function isBeyondLoopback(text: string): boolean {
  return parseUnixEndpoint(text) === undefined && !isLoopback(parseEndpoint(text)?.host ?? '');
}

/** Host and port as text, for URLs: IPv6 hosts get their brackets back. */
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
