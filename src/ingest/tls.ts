/** TLS of the OTLP port: reads certificate, key and client CAs, checks that they fit before a server uses them, and knows which clients may send. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContextOptions, TLSSocket } from 'node:tls';
import { AgentError, messageOf } from '../core/errors.ts';
import type { Settings } from '../core/settings.ts';

export interface TlsFiles {
  certFile: string;
  keyFile: string;
  /** Empty: clients need no certificate. */
  clientCaFile: string;
  /** Empty: every certificate of those CAs will do. */
  clientSansFile: string;
}

/** The section `ingest.http.tls`; null where it asks for no TLS. */
export function tlsFilesOf(tls: Settings['ingest']['http']['tls']): TlsFiles | null {
  if (tls.cert_file === '') return null;
  return {
    certFile: tls.cert_file,
    keyFile: tls.key_file,
    clientCaFile: tls.client_ca_file,
    clientSansFile: tls.client_allowed_sans_file,
  };
}

/** Whether who is at the other end may send. */
export type AllowPeer = (socket: Socket) => boolean;

/** An entry of `subjectAltName` as Node writes it: values that could be taken for more than one are JSON. */
const SAN = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

interface TlsContext extends SecureContextOptions {
  requestCert: boolean;
  rejectUnauthorized: boolean;
}

/** Throws CONFIG_INVALID that names the file at fault. */
export function readTls({ certFile, keyFile, clientCaFile }: TlsFiles): TlsContext {
  const needsClient = clientCaFile !== '';
  const context: TlsContext = {
    cert: readCertificate('cert_file', certFile),
    key: readKey(keyFile),
    // One without a certificate would let nobody in, and Node takes it.
    ...(needsClient ? { ca: readCertificate('client_ca_file', clientCaFile) } : {}),
    minVersion: 'TLSv1.2',
    requestCert: needsClient,
    rejectUnauthorized: needsClient,
  };
  try {
    createSecureContext(context);
  } catch (cause) {
    const files = [certFile, keyFile, clientCaFile].filter((file) => file !== '').join(', ');
    throw new AgentError('CONFIG_INVALID', `ingest.http.tls: ${files}: ${messageOf(cause)}`, { cause });
  }
  return context;
}

/** Null: there is no list. Throws CONFIG_INVALID. */
export function readAllowPeer({ clientSansFile }: TlsFiles): AllowPeer | null {
  if (clientSansFile === '') return null;
  const lines = readFileOf('client_allowed_sans_file', clientSansFile).toString('utf8').split(/\r?\n/);
  const allowed = new Set(lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#')));
  if (allowed.size === 0) {
    const message = `ingest.http.tls.client_allowed_sans_file: ${clientSansFile}: no name in it: nobody could send anything`;
    throw new AgentError('CONFIG_INVALID', message);
  }
  const known = new WeakMap<Socket, boolean>();
  return (socket) => {
    const before = known.get(socket);
    if (before !== undefined) return before;
    const text = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.subjectAltName : undefined;
    const isAllowed = sansOf(text ?? '').some((name) => allowed.has(name));
    known.set(socket, isAllowed);
    return isAllowed;
  };
}

/** DNS names and URIs; none of a text that is not wholly understood. */
function sansOf(text: string): string[] {
  const names: string[] = [];
  SAN.lastIndex = 0;
  for (let read = 0; read < text.length; read = SAN.lastIndex) {
    const [, type, value = ''] = SAN.exec(text) ?? [];
    if (type === undefined) return [];
    if (type === 'DNS' || type === 'URI') names.push(value.startsWith('"') ? String(JSON.parse(value)) : value);
  }
  return names;
}

function readCertificate(key: string, file: string): Buffer {
  const bytes = readFileOf(key, file);
  try {
    new X509Certificate(bytes);
  } catch (cause) {
    const message = `ingest.http.tls.${key}: ${file}: no certificate in PEM in it (${messageOf(cause)})`;
    throw new AgentError('CONFIG_INVALID', message, { cause });
  }
  return bytes;
}

function readKey(file: string): Buffer {
  const bytes = readFileOf('key_file', file);
  try {
    createPrivateKey(bytes);
  } catch (cause) {
    const message = `ingest.http.tls.key_file: ${file}: no private key in PEM without a passphrase in it (${messageOf(cause)})`;
    throw new AgentError('CONFIG_INVALID', message, { cause });
  }
  return bytes;
}

function readFileOf(key: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new AgentError('CONFIG_INVALID', `ingest.http.tls.${key}: ${messageOf(cause)}`, { cause });
  }
}
