/** TLS of the OTLP port: reads certificate, key and client CAs, and checks that they fit before a server uses them. */
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { AgentError, messageOf } from '../core/errors.ts';

export interface TlsFiles {
  certFile: string;
  keyFile: string;
  /** Empty: clients need no certificate. */
  clientCaFile: string;
}

export interface TlsContext extends SecureContextOptions {
  requestCert: boolean;
  rejectUnauthorized: boolean;
}

/** Throws CONFIG_INVALID that names the file at fault. */
export function readTls({ certFile, keyFile, clientCaFile }: TlsFiles): TlsContext {
  const needsClient = clientCaFile !== '';
  const context: TlsContext = {
    cert: readFileOf('cert_file', certFile),
    key: readFileOf('key_file', keyFile),
    ...(needsClient ? { ca: readFileOf('client_ca_file', clientCaFile) } : {}),
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

function readFileOf(key: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new AgentError('CONFIG_INVALID', `ingest.http.tls.${key}: ${messageOf(cause)}`, { cause });
  }
}
