/** Memory that begins on a page, which O_DIRECT needs and Buffer and SharedArrayBuffer do not promise: WebAssembly's does. */

// Declared here because it comes with the browser's type library alone.
declare const WebAssembly: {
  Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => { readonly buffer: ArrayBufferLike };
};

const WASM_PAGE_BYTES = 65_536;

/** Of this thread alone; zeros at first, and touched only when used. */
export function alignedMemory(bytes: number): Buffer {
  return Buffer.from(reserve(bytes, false)).subarray(0, bytes);
}

/** For all threads, in whole multiples of 64 KiB; zeros at first, and touched only when used. */
export function sharedMemory(bytes: number): SharedArrayBuffer {
  // What `shared` gives.
  return reserve(bytes, true) as SharedArrayBuffer;
}

function reserve(bytes: number, shared: boolean): ArrayBufferLike {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared }).buffer;
}
