/** The catalogue of everything that can go wrong: one class, one code each; docs/errors.md explains every code. */

/** What a code means in one sentence; docs/errors.md holds the same list, and a test keeps them equal. */
export const ERROR_CODES = {
  CONFIG_INVALID: 'The configuration has a fault; the message says file, line and column.',
  CONTRACT_INVALID: 'A contract file has a fault; the message says file, line and column.',
  ADDRESS_IN_USE: 'A port the agent should listen on is taken.',
  JOURNAL_LOCKED: 'Another agent uses this journal directory.',
  JOURNAL_UNWRITABLE: 'The journal directory, or a file in it, cannot be created, read or written.',
  JOURNAL_FULL: 'The journal has reached its quota or the disk is full.',
  JOURNAL_SYNC_FAILED: 'The disk refused a write or a sync of the journal, or hangs.',
  JOURNAL_CLOSED: 'The journal is closing and takes nothing more.',
  BODY_TOO_LARGE: 'The request body is over ingest.http.max_request_body_size, as sent or after decompression.',
  BODY_UNDECODABLE: 'The request body is not what its headers say.',
  CLIENT_GONE: 'The client closed its connection in the middle of a body.',
  OVERLOADED: 'The byte budget of admission is used up.',
  DRAINING: 'The agent is shutting down.',
  WORKER_DIED: 'A worker thread died on this request twice.',
  AGENT_UNREACHABLE: 'No agent answers on the admin port that a command asks.',
  SINK_RETRY: 'A sink could not take a batch now.',
  SINK_REFUSED: 'A sink refuses a batch for good.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

interface AgentErrorOptions {
  /** True when the same thing may succeed later; the place that knows decides. */
  retryable?: boolean;
  cause?: unknown;
}

export class AgentError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: AgentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AgentError';
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
