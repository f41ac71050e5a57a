/** What a record takes beside its value. */

/**
 * At most, for the record batch's header (61), the record's own lengths (about 30) and our four headers (about 90 and the agent's name, which is a host
 * name of up to 253 and the journal's 8 digits); a key is bounded apart.
 * https://kafka.apache.org/documentation/#recordbatch
 */
export const RECORD_BYTES = 512;

/** A longer key is cut: keys come from the data, and each record repeats them. */
export const MOST_KEY_BYTES = 512;
