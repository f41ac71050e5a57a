/** A client certificate and its key, which sinks show to who asks for them. */

/** One of the two alone would be shown to nobody, or to no avail: in words, or null. Empty and missing are the same. */
export function keyPairFault({
  cert_file: cert,
  key_file: key,
}: {
  cert_file?: string;
  key_file?: string;
}): string | null {
  return Boolean(cert) === Boolean(key) ? null : 'tls needs both cert_file and key_file, or neither';
}
