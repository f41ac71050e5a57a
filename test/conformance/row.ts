/** What a row of the table is, what it is given, and the checks that many rows share. */
import assert from 'node:assert/strict';
import type { OutgoingHttpHeaders } from 'node:http';
import type { Signal } from '../../src/core/block.ts';
import { messageType } from '../../src/otlp/schema.ts';
import { type Reply, send, statusOf } from './client.ts';
import { item, type Json, protobufOf, requestOf } from './messages.ts';

/** M, S, Y: MUST, SHOULD, MAY of OTLP. H: RFC 9110 and 9112. P: proto3 and ProtoJSON. O: asked by nobody but us. */
export type Strength = 'M' | 'S' | 'Y' | 'H' | 'P' | 'O';

export interface Row {
  id: string;
  strength: Strength;
  request: string;
  expected: string;
  /** Default: all three. */
  signals?: readonly Signal[];
  /** Default: both. */
  encodings?: readonly ('protobuf' | 'json')[];
  /** Needs an agent of its own configuration, or one that is broken on purpose: cannot be run against any receiver. */
  own?: true;
  /** Waits for time-outs; runs beside the others. */
  slow?: true;
  run(c: Case): Promise<void>;
}

/** An agent of a row's own. */
export interface OwnAgent {
  url: string;
  pid: number;
  output(): string;
  stop(): Promise<void>;
  metrics(): Promise<string>;
}

/** Thrown by a row whose precondition this machine does not give: it is then `not run`, with the reason. */
export class CannotRun extends Error {}

export interface OwnOptions {
  /** Beside its agent.yaml, by name. */
  files?: Record<string, string>;
  /** Nothing is said of where it listens. */
  isBare?: boolean;
  /** Shared with nobody, in a directory of this case alone: for rows that end it. Asked for again, it starts again there. */
  isAlone?: boolean;
}

/** One row for one signal and encoding. */
export interface Case {
  url: string;
  /** The signal's path below `url`. */
  path: string;
  signal: Signal;
  isJson: boolean;
  /** Content-Type of the encoding. */
  type: string;
  /** Of this case alone: finds its items at the sink. */
  service: string;
  /** As the table's agents have it. */
  fastPath: boolean;
  /** An agent with this YAML beside what every agent of the table has; all cases that ask for the same one share it. Ended after the table. */
  own(yaml: string, options?: OwnOptions): Promise<OwnAgent>;
  /** After the table: items of `service` in the order they were sent, each with its resource and scope. Never called on a foreign receiver. */
  atSink(check: (items: Json[]) => void): void;
}

export function encode({ signal, isJson }: Pick<Case, 'signal' | 'isJson'>, json: Json): Buffer {
  return isJson ? Buffer.from(JSON.stringify(json)) : protobufOf(signal, json);
}

/** A request of `count` good items. */
export function valid(c: Case, count = 1): Buffer {
  return encode(
    c,
    requestOf(
      c.signal,
      c.service,
      Array.from({ length: count }, () => item(c.signal)),
    ),
  );
}

export function post(c: Case, body: Uint8Array | Uint8Array[], headers: OutgoingHttpHeaders = {}): Promise<Reply> {
  return send(c.url + c.path, { headers: { 'content-type': c.type, ...headers }, body });
}

/** Full success: exactly 200, the request's type, an empty message. */
export function succeeded(c: Case, reply: Reply): void {
  assert.equal(reply.status, 200, `${reply.status}: ${reply.body.toString('latin1').slice(0, 200)}`);
  assert.equal(reply.headers['content-type'], c.type);
  assert.equal(reply.body.toString(), c.isJson ? '{}' : '');
  assert.equal(reply.headers['content-length'], String(reply.body.length));
}

/** Refused with a Status in the request's encoding that shows nothing of the inside. */
export function refused(c: Case, reply: Reply, ...statuses: number[]): ReturnType<typeof statusOf> {
  assert.ok(
    statuses.includes(reply.status),
    `status ${reply.status} instead of ${statuses.join(' or ')}: ${reply.body.toString('latin1').slice(0, 200)}`,
  );
  assert.equal(reply.headers['content-type'], c.type, 'Content-Type of the refusal');
  const status = statusOf(reply, c.isJson);
  assert.ok(status.message.length > 0, 'the Status has an empty message');
  assert.doesNotMatch(status.message, /\n {4}at |node_modules|\.[jt]s:\d|\/home\/|\/work\/|Bearer \w/);
  return status;
}

const RESPONSES = {
  traces: ['ExportTraceServiceResponse', 'rejectedSpans'],
  metrics: ['ExportMetricsServiceResponse', 'rejectedDataPoints'],
  logs: ['ExportLogsServiceResponse', 'rejectedLogRecords'],
} as const;

/** What a 200 says of rejected items; JSON has the number as a decimal string. */
export function partialOf(c: Case, reply: Reply): { rejected: number; message: string } {
  assert.equal(reply.status, 200, `${reply.status}: ${reply.body.toString('latin1').slice(0, 200)}`);
  assert.equal(reply.headers['content-type'], c.type);
  const [name, field] = RESPONSES[c.signal];
  const type = messageType(name);
  const plain = (
    c.isJson ? JSON.parse(reply.body.toString()) : type.toObject(type.decode(reply.body), { longs: String })
  ) as { partialSuccess?: Record<string, unknown> };
  const partial = plain.partialSuccess ?? {};
  const count = partial[field] ?? '0';
  assert.equal(typeof count, 'string', `${field} is no decimal string`);
  return { rejected: Number(count), message: String(partial.errorMessage ?? '') };
}

/** Taken or refused as undecodable; never anything else. */
export function takenOrRefused(c: Case, reply: Reply): void {
  if (reply.status === 200) partialOf(c, reply);
  else refused(c, reply, 400);
}
