/** What a receiver answers: success, partial success, and google.rpc.Status, in the encoding of the request. */
import type { Signal } from '../core/block.ts';
import { encodeMessage, encodeSubMessage } from './json.ts';

/** `rule` is what the rejected items break. */
const RESPONSES: Record<Signal, { message: string; rejected: string; items: string; rule: string }> = {
  traces: {
    message: 'ExportTraceServiceResponse',
    rejected: 'rejectedSpans',
    items: 'spans',
    rule: 'trace id must be 16 and span id 8 bytes, not all zero',
  },
  metrics: {
    message: 'ExportMetricsServiceResponse',
    rejected: 'rejectedDataPoints',
    items: 'data points',
    rule: 'a histogram must have one bucket count more than bounds, or neither',
  },
  logs: {
    message: 'ExportLogsServiceResponse',
    rejected: 'rejectedLogRecords',
    items: 'log records',
    rule: 'over a limit',
  },
};

const EMPTY_PROTOBUF = Buffer.alloc(0);
const EMPTY_JSON = Buffer.from('{}');

/** The body of a 200. With nothing rejected it is empty: partial_success stays unset. */
export function successBody(signal: Signal, rejected: number, json: boolean): Buffer {
  if (rejected === 0) return json ? EMPTY_JSON : EMPTY_PROTOBUF;
  const { message, rejected: field, items, rule } = RESPONSES[signal];
  const errorMessage = `${rejected} ${items} rejected: ${rule}`;
  return encodeMessage(message, { partialSuccess: { [field]: rejected, errorMessage } }, json);
}

/** The body of a 4xx or 5xx; bad data carries BadRequest in its details. */
export function statusBody(message: string, badRequest: boolean, json: boolean): Buffer {
  if (!badRequest) return encodeMessage('Status', { message }, json);
  const value = encodeSubMessage('BadRequest', { fieldViolations: [{ field: 'body', description: message }] });
  const details = json
    ? [
        {
          '@type': 'type.googleapis.com/google.rpc.BadRequest',
          fieldViolations: [{ field: 'body', description: message }],
        },
      ]
    : [{ typeUrl: 'type.googleapis.com/google.rpc.BadRequest', value }];
  // ProtoJSON writes an Any as the message it holds, which protobufjs does not know.
  return json
    ? Buffer.from(JSON.stringify({ message, details }))
    : encodeMessage('Status', { message, details }, false);
}
