/** What a receiver answers: success, partial success, and google.rpc.Status, in the encoding of the request. */
import type { Signal } from '../core/block.ts';
import { encodeMessage, encodePlain } from './json.ts';

/** What of a request was not taken as it came. */
interface Shortfall {
  /** Items. */
  rejected: number;
  /** Exemplars that were cut out of their points, log records that are kept as without a trace. */
  warned: number;
}

const WRONG_IDS = 'trace ids must be 16 and span ids 8 bytes';
const BAD_IDS = `${WRONG_IDS}, not all zero`;
const LIMIT = 'at most ingest.http.max_item_size';

/** `rule` is what the rejected items break, `warning` what was done to items that were taken. */
const RESPONSES: Record<Signal, { message: string; rejected: string; items: string; rule: string; warning: string }> = {
  traces: {
    message: 'ExportTraceServiceResponse',
    rejected: 'rejectedSpans',
    items: 'spans',
    rule: `${BAD_IDS}, and a span must be ${LIMIT}`,
    warning: '',
  },
  metrics: {
    message: 'ExportMetricsServiceResponse',
    rejected: 'rejectedDataPoints',
    items: 'data points',
    rule: `a histogram must have one bucket count more than bounds, or neither, and a point must be ${LIMIT}`,
    warning: `exemplars cut out of their points: ${WRONG_IDS}`,
  },
  logs: {
    message: 'ExportLogsServiceResponse',
    rejected: 'rejectedLogRecords',
    items: 'log records',
    rule: `a record must be ${LIMIT}`,
    warning: `log records kept as without a trace or span: ${WRONG_IDS}`,
  },
};

const EMPTY_PROTOBUF = Buffer.alloc(0);
const EMPTY_JSON = Buffer.from('{}');

/** The body of a 200. With nothing to say it is empty: partial_success stays unset. A warning alone has 0 rejected and a message. */
export function successBody(signal: Signal, { rejected, warned }: Shortfall, json: boolean): Buffer {
  if (rejected === 0 && warned === 0) return json ? EMPTY_JSON : EMPTY_PROTOBUF;
  const { message, rejected: field, items, rule, warning } = RESPONSES[signal];
  const said = [
    ...(rejected > 0 ? [`${rejected} ${items} rejected: ${rule}`] : []),
    ...(warned > 0 ? [`${warned} ${warning}`] : []),
  ];
  return encodeMessage(message, { partialSuccess: { [field]: rejected, errorMessage: said.join('; ') } }, json);
}

/** The body of a 4xx or 5xx; bad data carries BadRequest in its details. */
export function statusBody(message: string, badRequest: boolean, json: boolean): Buffer {
  if (!badRequest) return encodeMessage('Status', { message }, json);
  const value = encodePlain('BadRequest', { fieldViolations: [{ field: 'body', description: message }] });
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
