/** TLS and SASL as kafkajs takes them, from files that are read anew for each connection. */
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { SASLOptions } from 'kafkajs';
import { AgentError, messageOf } from '../../core/errors.ts';
import type { KafkaConfig } from './config.ts';

type Security = Pick<KafkaConfig, 'tls' | 'sasl'>;

/** Throws when a file cannot be read. */
export function sslOf({ tls }: Security): ConnectionOptions | boolean {
  if (typeof tls === 'boolean') return tls;
  return {
    ...(tls.ca_file === undefined ? {} : { ca: readOf('tls.ca_file', tls.ca_file) }),
    ...(tls.cert_file === undefined ? {} : { cert: readOf('tls.cert_file', tls.cert_file) }),
    ...(tls.key_file === undefined ? {} : { key: readOf('tls.key_file', tls.key_file) }),
  };
}

/** Throws when the file of the password cannot be read. */
export function saslOf({ sasl }: Security): SASLOptions | undefined {
  if (sasl === undefined) return undefined;
  const { mechanism, username, password, password_file: file } = sasl;
  // The mechanism is one of three literals and decides which of the union's branches this is.
  return {
    mechanism,
    username,
    password: file === undefined ? password : readOf('sasl.password_file', file).toString('utf8').trim(),
  } as SASLOptions;
}

function readOf(key: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new AgentError('SINK_RETRY', `${key}: ${messageOf(cause)}`, { retryable: true, cause });
  }
}

/** The files that both are made from. */
export function filesOf({ tls, sasl }: Security): string[] {
  const files = typeof tls === 'boolean' ? [] : [tls.ca_file, tls.cert_file, tls.key_file];
  return [...files, sasl?.password_file].filter((file) => file !== undefined);
}
